//! Bodies that were damaged on the way, by the million: no parser panics, and what is accepted is
//! whole by the judgement of another reading of the same bytes.
//!
//! `ROLLCALL_MUTATIONS` says how many bodies; the seed of a failure is in its message.

use std::collections::BTreeSet;

use fastrand::Rng;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use rollcall_core::delta::Removal;
use rollcall_core::ids::ObjectId;
use rollcall_core::user::AttributeMap;
use serde_json::Value;

use crate::batch;
use crate::confirm::Existence;
use crate::exchange::Received;
use crate::page::{self, DeltaEnd};
use crate::{http, token};

/// How many bodies a plain test run tries.
const MUTATIONS: u64 = 300_000;
/// How often one body is damaged at most.
const DAMAGES_MAX: usize = 3;

const PAGE: &str = include_str!("../tests/data/users-page.json");
const DELTA: &str = r#"{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#users","@odata.deltaLink":"https://graph.microsoft.com/v1.0/users/delta?$deltatoken=x'y","value":[{"id":"0b4781a1-0001-4000-8000-000000000001","accountEnabled":false,"mail":null,"department":"x"},{"id":"0b4781a1-0002-4000-8000-000000000002","@removed":{"reason":"changed"}},{"id":"0b4781a1-0003-4000-8000-000000000003","@removed":{"reason":"deleted"}},{"id":"0b4781a1-0004-4000-8000-000000000004","userPrincipalName":"太郎@contoso.com","userType":"Member"}]}"#;
const BATCH: &str = r#"{"responses":[{"id":"1","status":404,"headers":{"request-id":"r"},"body":{"error":{"code":"Request_ResourceNotFound","message":"m"}}},{"id":"0","status":200,"body":{"id":"u0","accountEnabled":true}},{"id":"2","status":429,"headers":{"Retry-After":"7"},"body":{"error":{"code":"TooManyRequests","message":""}}},{"id":"3","status":200,"body":{"id":"u3","accountEnabled":null}}]}"#;
const TOKEN: &str = r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"eyJ0eXAiOiJKV1Qi.x.y"}"#;
const REFUSAL: &str = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215],"timestamp":"2026-11-23 20:15:02Z"}"#;
const SEEDS: [&str; 5] = [PAGE, DELTA, BATCH, TOKEN, REFUSAL];

/// What servers and proxies put into bodies, or what is left of them.
const PIECES: [&[u8]; 18] = [
    br#"{"error":{"code":"InternalServerError","message":""}}"#,
    br#","error":{"code":"UnknownError"}"#,
    br#""error":null,"#,
    br#""value":[],"#,
    br#","value":null"#,
    br#","@odata.nextLink":"https://a.example/""#,
    br#","@removed":{"reason":"deleted"}"#,
    br#"{"id":"u1"},"#,
    br#","id":"u2""#,
    br#","status":404"#,
    b"}",
    b"]}",
    b"]",
    b",",
    b"null",
    b"\"",
    b"\\u0000",
    &[0xff, 0xc0],
];

fn damage(rng: &mut Rng, body: &mut Vec<u8>) {
    let at = rng.usize(..=body.len());
    let to = rng.usize(at..=body.len().min(at + 64));
    match rng.u8(..8) {
        0 => body.truncate(at),
        1 => {
            if let Some(byte) = body.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        2 => drop(body.drain(at..to)),
        3 => {
            let again = body[at..to].to_vec();
            body.splice(at..at, again);
        }
        4 | 5 => {
            let piece = PIECES[rng.usize(..PIECES.len())];
            body.splice(at..at, piece.iter().copied());
        }
        6 => {
            let other = SEEDS[rng.usize(..SEEDS.len())].as_bytes();
            let from = rng.usize(..other.len());
            let length = rng.usize(..=other.len() - from);
            body.splice(at..to, other[from..from + length].iter().copied());
        }
        _ => {
            // A part of its middle is missing.
            let to = rng.usize(at..=body.len());
            drop(body.drain(at..to));
        }
    }
}

fn mutated(seed: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(seed);
    let mut body = SEEDS[rng.usize(..SEEDS.len())].as_bytes().to_vec();
    for _ in 0..=rng.usize(..DAMAGES_MAX) {
        damage(&mut rng, &mut body);
    }
    body
}

/// The members of a collection that is whole, as another reading has it.
fn members(body: &Value) -> Vec<&Value> {
    assert!(body.get("error").is_none_or(Value::is_null));
    let value = body["value"].as_array();
    value.unwrap().iter().collect()
}

fn ids_of(members: &[&Value]) -> Vec<String> {
    let id = |it: &&Value| it["id"].as_str().unwrap().to_ascii_lowercase();
    members.iter().map(id).collect()
}

fn told(ids: impl Iterator<Item = ObjectId>) -> Vec<String> {
    ids.map(|id| id.as_str().to_owned()).collect()
}

fn try_page(bytes: &[u8], body: Option<&Value>, mapped: &AttributeMap) -> bool {
    let Ok((users, next)) = page::users(bytes, mapped) else {
        return false;
    };
    let body = body.unwrap();
    let members = members(body);
    assert_eq!(ids_of(&members), told(users.iter().map(|it| it.id.clone())));
    for (user, member) in users.iter().zip(members) {
        assert_eq!(user.account_enabled, member["accountEnabled"].as_bool());
    }
    assert_eq!(next.as_deref(), body["@odata.nextLink"].as_str());
    true
}

fn try_delta(bytes: &[u8], body: Option<&Value>, mapped: &AttributeMap) -> bool {
    let Ok((users, end)) = page::delta(bytes, mapped) else {
        return false;
    };
    let body = body.unwrap();
    let members = members(body);
    assert_eq!(ids_of(&members), told(users.iter().map(|it| it.id.clone())));
    for (user, member) in users.iter().zip(members) {
        let reason = member["@removed"]["reason"].as_str();
        let wanted = match user.removed {
            None => None,
            Some(Removal::Bin) => Some("changed"),
            Some(Removal::Gone) => Some("deleted"),
        };
        assert_eq!(reason, wanted);
        let is_told = user.removed.is_none() && member.get("accountEnabled").is_some();
        assert_eq!(user.account_enabled.is_some(), is_told);
    }
    let links = ["@odata.nextLink", "@odata.deltaLink"].map(|link| body[link].as_str());
    match end {
        DeltaEnd::More(link) => assert_eq!(links, [Some(link.as_str()), None]),
        DeltaEnd::Last(link) => assert_eq!(links, [None, Some(link.as_str())]),
    }
    true
}

fn try_batch(bytes: &[u8], body: Option<&Value>, asked: &[ObjectId]) -> bool {
    let Ok(settled) = batch::settle(&batch::IsThere, asked, bytes) else {
        return false;
    };
    let responses = body.unwrap()["responses"].as_array().unwrap();
    for (id, existence) in settled.known {
        let at = asked.iter().position(|it| *it == id).unwrap();
        let of = |it: &&Value| it["id"].as_str().is_some_and(|it| it.parse() == Ok(at));
        let [response] = responses.iter().filter(of).collect::<Vec<_>>()[..] else {
            panic!("not one answer about {id}");
        };
        match existence {
            Existence::Found { account_enabled } => {
                assert_eq!(response["status"], 200);
                let found = &response["body"];
                assert_eq!(found["accountEnabled"].as_bool(), account_enabled);
                let named = found["id"].as_str().unwrap();
                assert!(named.eq_ignore_ascii_case(id.as_str()));
            }
            Existence::NotFound => {
                assert_eq!(response["status"], 404);
                let code = &response["body"]["error"]["code"];
                assert_eq!(code, "Request_ResourceNotFound");
            }
        }
    }
    true
}

fn try_token(bytes: &[u8], body: Option<&Value>) -> bool {
    for status in [200, 400, 401, 503] {
        let received = Received {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Ok(bytes.to_vec()),
        };
        if token::grants(&received) {
            let body = body.unwrap();
            assert_eq!(status, 200);
            assert!(!body["access_token"].as_str().unwrap().is_empty());
            assert!(body["expires_in"].is_u64());
            return true;
        }
    }
    false
}

#[test]
fn a_damaged_body_is_taken_only_if_it_is_whole_all_the_same() {
    let count = std::env::var("ROLLCALL_MUTATIONS");
    let count = count.map_or(MUTATIONS, |it| it.parse().unwrap());
    let mapped = AttributeMap::from([("team".into(), "department".into())]);
    let asked: Vec<_> = (0..4)
        .map(|at| ObjectId::new(&format!("u{at}")).unwrap())
        .collect();
    let mut taken = [0_u64; 4];
    for seed in 0..count {
        let bytes = mutated(seed);
        let tried = std::panic::catch_unwind(|| {
            let body: Option<Value> = serde_json::from_slice(&bytes).ok();
            let body = body.as_ref();
            // These have nothing to be taken for; they must not panic.
            let _ = page::ids(&bytes);
            let _ = page::deciding(&bytes);
            let _ = page::count(&bytes);
            http::tells(&bytes);
            [
                try_page(&bytes, body, &mapped),
                try_delta(&bytes, body, &mapped),
                try_batch(&bytes, body, &asked),
                try_token(&bytes, body),
            ]
        });
        let Ok(tried) = tried else {
            panic!("seed {seed}: {}", String::from_utf8_lossy(&bytes));
        };
        for (count, is_taken) in taken.iter_mut().zip(tried) {
            *count += u64::from(is_taken);
        }
    }
    // Some damages are none, so each parser has to take some, and none takes most.
    for taken in taken {
        assert!(taken > 0 && taken < count / 3, "{taken} of {count}");
    }
}

/// What is cut off is never taken, wherever the end is: the prefix of a page is no page.
#[test]
fn the_beginning_of_a_body_is_never_taken() {
    let asked = BTreeSet::from([ObjectId::new("u0").unwrap()]);
    let asked: Vec<_> = asked.into_iter().collect();
    let mapped = AttributeMap::new();
    for whole in SEEDS {
        let whole = whole.trim_end().as_bytes();
        for end in 0..whole.len() {
            let cut = &whole[..end];
            assert!(page::users(cut, &mapped).is_err(), "{end}");
            assert!(page::delta(cut, &mapped).is_err(), "{end}");
            assert!(
                batch::settle(&batch::IsThere, &asked, cut).is_err(),
                "{end}"
            );
            assert!(!try_token(cut, None), "{end}");
        }
    }
}
