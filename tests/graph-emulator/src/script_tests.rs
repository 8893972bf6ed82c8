use super::*;

const ID: &str = "87d349ed-44d7-43e1-9a83-5f2406dee5bd";

/// Every endpoint, every selection, every fault with every word that it takes.
fn all() -> FaultScript {
    let id = Uuid::try_parse(ID).unwrap();
    let mut faults: Vec<Fault> = PLAIN.iter().map(|(_, fault)| fault.clone()).collect();
    let mut bodies: Vec<_> = BODIES.iter().map(|(_, body)| body.clone()).collect();
    bodies.extend([ErrorBody::Graph, ErrorBody::Login(90_033)]);
    for (index, body) in bodies.into_iter().enumerate() {
        faults.push(Fault::Status {
            status: 503,
            retry_after_s: (index % 2 == 0).then_some(7),
            body,
        });
    }
    faults.extend(PAGE_TOKENS.map(|(_, kind)| Fault::PageToken(kind)));
    faults.extend(SYNC_STATES.map(|(_, kind)| Fault::SyncState(kind)));
    for (_, about) in ABOUT {
        faults.extend([Who::All, Who::First(2), Who::Ids(vec![id, id])].map(about));
    }
    let links = [
        NextLink::Itself,
        NextLink::Missing,
        NextLink::Page(1),
        NextLink::Origin("https://a.example".into()),
        NextLink::Exactly("https://a.example/users?$skiptoken=b".into()),
    ];
    faults.extend(links.map(Fault::NextLink));
    faults.extend([
        Fault::Delay { ms: 9 },
        Fault::Redirect {
            to: "https://a.example/users?a=b:c".into(),
        },
    ]);
    let mut whens: Vec<_> = ENDPOINTS
        .iter()
        .map(|(_, endpoint)| Matcher::endpoint(*endpoint))
        .collect();
    whens.extend([Matcher::any().tenant(id).page(3).user(id).nth(4)]);
    let times = [
        Times::Once,
        Times::Times(5),
        Times::Forever,
        Times::Alternately,
    ];
    let rules = faults
        .into_iter()
        .enumerate()
        .map(|(index, fault)| FaultRule {
            when: whens[index % whens.len()],
            times: times[index % times.len()],
            fault,
        });
    FaultScript(rules.collect())
}

#[test]
fn a_script_that_is_written_reads_as_it_was() {
    let script = all();
    assert!(script.0.len() > 40, "{}", script.0.len());
    let text = script.to_string();
    assert_eq!(text.parse(), Ok(script), "{text}");
}

#[test]
fn blank_lines_and_comments_say_nothing() {
    let text = "\n# the seventh page fails\n\n  users page 7 always: status 503 after 2\n";
    let rule = FaultRule::forever(
        Matcher::endpoint(Endpoint::Users).page(7),
        Fault::Status {
            status: 503,
            retry_after_s: Some(2),
            body: ErrorBody::Graph,
        },
    );
    assert_eq!(text.parse(), Ok(FaultScript(vec![rule])));
    assert_eq!("".parse(), Ok(FaultScript::default()));
}

#[test]
fn a_line_that_is_no_rule_is_told_with_its_number_and_what_was_expected() {
    for (line, told) in [
        ("users page 2 once", "expected `<requests>: <fault>`"),
        (
            "mailboxes once: denied",
            "\"mailboxes\": expected one of token, users",
        ),
        (
            "users page two once: denied",
            "\"two\": expected the number of a page",
        ),
        (
            "users: denied",
            "ends where once, <number> times, alternately or always was",
        ),
        (
            "users 3: denied",
            "3: expected once, <number> times, alternately or always",
        ),
        ("users once always: denied", "\"always\": expected the end"),
        (
            "users once: hiccup",
            "\"hiccup\": expected a fault: expired-bearer",
        ),
        ("users once:", "the rule ends where a fault was expected"),
        (
            "users once: status 503 later",
            "\"later\": expected one of unknown",
        ),
        (
            "users once: status",
            "the rule ends where an HTTP status was expected",
        ),
        (
            "users once: left-out some",
            "\"some\": expected all, first or ids",
        ),
        (
            "users once: left-out ids 1,2",
            "expected object ids with commas",
        ),
        ("users once: next-link back", "\"back\": expected itself"),
        (
            "users once: page-token old",
            "\"old\": expected one of expired",
        ),
        ("users once: denied twice", "\"twice\": expected the end"),
    ] {
        let error = format!("# a comment\n{line}")
            .parse::<FaultScript>()
            .unwrap_err();
        assert_eq!(error.line, 2, "{line}");
        assert!(error.to_string().contains(told), "{line}: {error}");
    }
}
