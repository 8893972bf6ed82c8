use super::*;
use crate::reconcile::SightingContext;
use crate::scope::Scope;
use crate::testing::{id, order, user};

fn stored() -> StoredUser {
    let context = SightingContext {
        run: 1,
        order: order(1, 1, 0),
        scope: &Scope::default(),
        now_ms: 1,
    };
    let user = GraphUser {
        mail: Some("a@mail".into()),
        attributes: [("team".to_owned(), "x".to_owned())].into(),
        ..user("a")
    };
    context.decide(&user, None).write.unwrap()
}

fn mapped() -> AttributeMap {
    [("team".to_owned(), "department".to_owned())].into()
}

#[test]
fn what_is_absent_stays_and_what_is_null_goes() {
    let absent = DeltaUser::new(id("a")).whole(Some(&stored()), &mapped());
    assert_eq!(absent.mail.as_deref(), Some("a@mail"));
    assert_eq!(absent.account_enabled, Some(true));
    assert_eq!(absent.attributes["team"], "x");
    let null = DeltaUser {
        mail: Some(None),
        account_enabled: Some(None),
        attributes: [("team".to_owned(), None)].into(),
        ..DeltaUser::new(id("a"))
    };
    let null = null.whole(Some(&stored()), &mapped());
    assert_eq!(null.mail, None);
    assert_eq!(null.account_enabled, None);
    assert!(null.attributes.is_empty());
    assert_eq!(null.user_principal_name, absent.user_principal_name);
}

#[test]
fn absent_and_null_are_told_apart_after_they_were_stored() {
    let told = DeltaUser {
        mail: Some(None),
        account_enabled: Some(Some(false)),
        attributes: [("team".to_owned(), None)].into(),
        ..DeltaUser::new(id("a"))
    };
    let json = serde_json::to_string(&told).unwrap();
    assert_eq!(json, r#"{"i":"a","m":null,"e":false,"a":{"team":null}}"#);
    assert_eq!(serde_json::from_str::<DeltaUser>(&json).unwrap(), told);
}

#[test]
fn of_two_on_one_page_the_last_word_on_each_property_stands() {
    let mut first = DeltaUser {
        mail: Some(Some("1".into())),
        display_name: Some(Some("1".into())),
        ..DeltaUser::new(id("a"))
    };
    first.then(DeltaUser {
        display_name: Some(None),
        ..DeltaUser::new(id("a"))
    });
    assert_eq!(first.mail, Some(Some("1".into())));
    assert_eq!(first.display_name, Some(None));
}

#[test]
fn who_is_removed_last_is_removed_and_who_is_told_of_after_that_is_back() {
    let removed = DeltaUser {
        removed: Some(Removal::Bin),
        ..DeltaUser::new(id("a"))
    };
    let there = DeltaUser {
        mail: Some(None),
        ..DeltaUser::new(id("a"))
    };
    let mut gone = there.clone();
    gone.then(removed.clone());
    assert_eq!(gone, removed);
    gone.then(there.clone());
    assert_eq!(gone, there);
}

#[test]
fn somebody_unknown_without_a_login_name_stays_unknown() {
    let little = DeltaUser {
        account_enabled: Some(Some(true)),
        user_type: Some(Some("Member".into())),
        ..DeltaUser::new(id("a"))
    };
    assert_eq!(little.whole(None, &mapped()).account_enabled, None);
    let enough = DeltaUser {
        user_principal_name: Some(Some("a@contoso.com".into())),
        ..little
    };
    assert_eq!(enough.whole(None, &mapped()).account_enabled, Some(true));
}
