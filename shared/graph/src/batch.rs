//! `$batch`: up to twenty questions in one request, answered in any order, each for itself.
//! <https://learn.microsoft.com/graph/json-batching>

use std::collections::{BTreeMap, BTreeSet};

use rollcall_core::evidence::{RequestId, Told};
use rollcall_core::ids::ObjectId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::challenge::Claims;
use crate::confirm::Existence;
use crate::error::{FailedCall, loggable_code};
use crate::exchange::seconds_as_ms;
use crate::http::{Verdict, judge};
use crate::page::{Broken, account, parsed};

/// Requests in one batch.
pub(crate) const BATCH_REQUESTS_MAX: usize = 20;

/// The one code that says that a user is not there.
const NOT_THERE: &str = "Request_ResourceNotFound";

#[derive(Deserialize)]
struct Answers {
    responses: Option<Vec<Response>>,
}

#[derive(Deserialize)]
struct Response {
    id: String,
    status: u16,
    headers: Option<Map<String, Value>>,
    body: Option<Value>,
}

/// What is asked about each of several users.
pub(crate) trait Question {
    /// What is learnt of one.
    type Answer;

    /// What it is called in errors and logs.
    const OPERATION: &'static str;
    /// What a 404 with the code `Request_ResourceNotFound` says.
    const NOT_THERE: Self::Answer;

    /// The request about `id`, to be answered under the number `at`.
    fn request(&self, at: usize, id: &ObjectId) -> Value;

    /// Reads the body of an answer with status 200.
    fn read(&self, id: &ObjectId, body: &Map<String, Value>) -> Result<Self::Answer, Broken>;

    /// Whether this answer, about one of whom it is expected, shows that the service sees what it was asked for.
    fn vouches(answer: &Self::Answer) -> bool;
}

/// Is he there?
pub(crate) struct IsThere;

impl Question for IsThere {
    type Answer = Existence;

    const OPERATION: &'static str = "users_by_id";
    const NOT_THERE: Existence = Existence::NotFound;

    fn request(&self, at: usize, id: &ObjectId) -> Value {
        json!({
            "id": at.to_string(),
            "method": "GET",
            "url": format!("/users/{id}?$select=id,accountEnabled"),
        })
    }

    fn read(&self, id: &ObjectId, body: &Map<String, Value>) -> Result<Existence, Broken> {
        let (found, account_enabled) = account(body)?;
        if found != *id {
            return Err(Broken("the batch answers with another user"));
        }
        Ok(Existence::Found { account_enabled })
    }

    fn vouches(answer: &Existence) -> bool {
        matches!(answer, Existence::Found { .. })
    }
}

/// What each was answered.
#[derive(Debug)]
pub(crate) struct Answered<A> {
    pub(crate) told: BTreeMap<ObjectId, Told<A>>,
    /// In whose request nobody who was asked about beside them vouched for the answers.
    pub(crate) alone: BTreeSet<ObjectId>,
    /// Whether somebody did in any request.
    pub(crate) is_vouched: bool,
}

impl<A> Answered<A> {
    pub(crate) const fn nothing() -> Self {
        Self {
            told: BTreeMap::new(),
            alone: BTreeSet::new(),
            is_vouched: false,
        }
    }

    /// The answers of one request; `None` while somebody beside them may vouch for them yet, and nobody does.
    pub(crate) fn of<Q: Question<Answer = A>>(
        known: BTreeMap<ObjectId, A>,
        beside: &[ObjectId],
        request: &RequestId,
    ) -> Option<Self> {
        let is_vouched = beside
            .iter()
            .any(|id| known.get(id).is_some_and(Q::vouches));
        if !is_vouched && beside.iter().any(|id| !known.contains_key(id)) {
            return None;
        }
        let alone = match is_vouched || beside.is_empty() {
            true => BTreeSet::new(),
            false => known.keys().cloned().collect(),
        };
        Some(Self {
            told: told(known, request).collect(),
            alone,
            is_vouched,
        })
    }

    /// Takes further answers. About whoever was asked about beside others there can be several.
    pub(crate) fn add<Q: Question<Answer = A>>(&mut self, more: Self) {
        for (id, told) in more.told {
            if Q::vouches(&told.what) {
                self.told.insert(id, told);
            } else {
                self.told.entry(id).or_insert(told);
            }
        }
        self.alone.extend(more.alone);
        self.is_vouched |= more.is_vouched;
    }
}

/// What one answer says of each.
pub(crate) fn told<T>(
    of: impl IntoIterator<Item = (ObjectId, T)>,
    request: &RequestId,
) -> impl Iterator<Item = (ObjectId, Told<T>)> {
    of.into_iter().map(|(id, what)| {
        let request = request.clone();
        (id, Told { what, request })
    })
}

/// What one batch says of those who were asked about. Who is in none of the fields had no answer.
#[derive(Debug)]
pub(crate) struct Settled<A> {
    pub(crate) known: BTreeMap<ObjectId, A>,
    /// A passing failure, and the longest wait that any of them asks for.
    pub(crate) passing: Option<(Box<FailedCall>, Option<u64>)>,
    /// How many were answered by a 429.
    pub(crate) throttled: usize,
    /// An answer that ends the whole, with what it means.
    pub(crate) ended: Option<(Verdict, Box<FailedCall>)>,
    /// What a 401 among the answers wants the next token to be asked for with.
    pub(crate) claims: Option<Claims>,
}

/// The body of a batch that asks about `ids`.
pub(crate) fn asked(question: &impl Question, ids: &[ObjectId]) -> Value {
    let each = ids.iter().enumerate();
    let requests = each.map(|(at, id)| question.request(at, id));
    json!({ "requests": requests.collect::<Vec<_>>() })
}

/// Reads the answers to a batch that asked about `ids`.
pub(crate) fn settle<Q: Question>(
    question: &Q,
    ids: &[ObjectId],
    body: &[u8],
) -> Result<Settled<Q::Answer>, Broken> {
    let answers: Answers = parsed(body).ok_or(Broken("the body is not a whole batch"))?;
    let responses = answers
        .responses
        .ok_or(Broken("the batch has no responses"))?;
    let mut seen = vec![false; ids.len()];
    let mut settled = Settled {
        known: BTreeMap::new(),
        passing: None,
        throttled: 0,
        ended: None,
        claims: None,
    };
    for response in responses {
        let at = response.id.parse::<usize>().ok();
        let (at, id) = at
            .and_then(|at| Some((at, ids.get(at)?)))
            .ok_or(Broken("the batch answers what was not asked"))?;
        if std::mem::replace(&mut seen[at], true) {
            return Err(Broken("the batch answers one question twice"));
        }
        settled.take(question, id, &response)?;
    }
    Ok(settled)
}

impl<A> Settled<A> {
    fn take<Q: Question<Answer = A>>(
        &mut self,
        question: &Q,
        id: &ObjectId,
        response: &Response,
    ) -> Result<(), Broken> {
        let code = response.body.as_ref().and_then(|body| {
            let code = body.get("error")?.get("code")?;
            code.as_str()
        });
        let mut failed = FailedCall::of(Q::OPERATION);
        failed.status = Some(response.status);
        failed.code = code.and_then(loggable_code);
        match judge(response.status) {
            Verdict::Good => {
                let body = response.body.as_ref().and_then(Value::as_object);
                let told = question.read(id, body.ok_or(Broken("a user without a body"))?)?;
                self.known.insert(id.clone(), told);
            }
            Verdict::Passing => {
                self.throttled += usize::from(response.status == 429);
                let asked = response.retry_after_ms();
                let longest = self.passing.take().and_then(|(_, longest)| longest);
                self.passing = Some((failed, longest.max(asked)));
            }
            Verdict::Refused if response.status == 404 && code == Some(NOT_THERE) => {
                self.known.insert(id.clone(), Q::NOT_THERE);
            }
            Verdict::Odd => return Err(Broken("a user with an odd status")),
            verdict => {
                let challenge = response.header("www-authenticate").and_then(Value::as_str);
                self.claims = challenge.and_then(Claims::of);
                self.ended = Some((verdict, failed));
            }
        }
        Ok(())
    }
}

impl Response {
    fn header(&self, name: &str) -> Option<&Value> {
        let mut headers = self.headers.as_ref()?.iter();
        let (_, value) = headers.find(|(it, _)| it.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    fn retry_after_ms(&self) -> Option<u64> {
        match self.header("retry-after")? {
            Value::String(text) => seconds_as_ms(text),
            number => number.as_u64()?.checked_mul(1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<ObjectId> {
        (0..count)
            .map(|at| ObjectId::new(&format!("u{at}")).unwrap())
            .collect()
    }

    fn settle(count: usize, responses: &Value) -> Result<Settled<Existence>, Broken> {
        let body = json!({ "responses": responses }).to_string();
        super::settle(&IsThere, &ids(count), body.as_bytes())
    }

    fn not_there(at: &str, status: u16, code: &str) -> Value {
        json!({"id": at, "status": status, "body": {"error": {"code": code, "message": "x"}}})
    }

    #[test]
    fn answers_in_any_order_are_put_to_their_questions() {
        let settled = settle(
            4,
            &json!([
                not_there("2", 404, "Request_ResourceNotFound"),
                {"id": "0", "status": 200, "body": {"id": "U0", "accountEnabled": true}},
                {"id": "1", "status": 429, "headers": {"retry-after": "7"}, "body": {}},
                {"id": "3", "status": 503, "headers": {"Retry-After": 2}, "body": "<html>"},
            ]),
        )
        .unwrap();
        let ids = ids(4);
        let expected = BTreeMap::from([
            (
                ids[0].clone(),
                Existence::Found {
                    account_enabled: Some(true),
                },
            ),
            (ids[2].clone(), Existence::NotFound),
        ]);
        assert_eq!(settled.known, expected);
        assert_eq!(settled.throttled, 1);
        assert_eq!(settled.passing.unwrap().1, Some(7_000));
        assert!(settled.ended.is_none());
    }

    #[test]
    fn only_one_code_says_that_a_user_is_not_there() {
        for (status, code) in [
            (404, "ResourceNotFound"),
            (404, "itemNotFound"),
            (404, ""),
            (400, "Request_ResourceNotFound"),
            (410, "Request_ResourceNotFound"),
            (403, "Request_ResourceNotFound"),
            (401, "Request_ResourceNotFound"),
            (302, "Request_ResourceNotFound"),
            (503, "Request_ResourceNotFound"),
            (429, "Request_ResourceNotFound"),
        ] {
            let settled = settle(1, &json!([not_there("0", status, code)])).unwrap();
            assert!(settled.known.is_empty(), "{status} {code}");
            assert!(
                settled.ended.is_some() || settled.passing.is_some(),
                "{status} {code}"
            );
        }
        let bare = json!([{"id": "0", "status": 404}]);
        assert!(settle(1, &bare).unwrap().known.is_empty());
    }

    #[test]
    fn a_missing_answer_says_nothing() {
        let settled = settle(2, &json!([])).unwrap();
        assert!(settled.known.is_empty() && settled.passing.is_none());
    }

    #[test]
    fn nonsense_is_not_an_answer() {
        for responses in [
            json!(null),
            json!({}),
            json!([{"id": "0"}]),
            json!([{"id": "5", "status": 200}]),
            json!([{"id": "x", "status": 200}]),
            json!([{"id": "0", "status": 200}]),
            json!([{"id": "0", "status": 204}]),
            json!([{"id": "0", "status": 200, "body": {"id": "other"}}]),
            json!([{"id": "0", "status": 200, "body": "u0"}]),
            json!([
                {"id": "0", "status": 200, "body": {"id": "u0"}},
                not_there("0", 404, "Request_ResourceNotFound"),
            ]),
        ] {
            assert!(settle(2, &responses).is_err(), "{responses}");
        }
    }
}
