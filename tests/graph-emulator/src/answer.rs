//! Answers: first as drafts that faults can bend, then as bytes with the headers of the service.

use std::io::Write;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::time;
use crate::user::{Item, Row};

/// What goes back to the client.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status. Meaningless when the delivery sends nothing.
    pub status: StatusCode,
    /// All headers, but those that tell how the body is framed.
    pub headers: HeaderMap,
    /// The body, compressed if the headers say so.
    pub body: Bytes,
    /// How long to wait before the first byte goes out, in milliseconds.
    pub delay_ms: u64,
    /// How much of it arrives.
    pub delivery: Delivery,
}

/// How an answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// All of it.
    Whole,
    /// The connection ends after half of the body, without the end that HTTP wants.
    Broken,
    /// The connection is closed without a byte.
    Closed,
    /// The connection is reset (TCP RST) without a byte.
    Reset,
}

/// An error of Graph: `{"error":{"code","message","innerError"}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GraphError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl GraphError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An error of the token endpoint: `{"error","error_description","error_codes",...}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoginError {
    pub(crate) status: u16,
    pub(crate) error: &'static str,
    pub(crate) aadsts: u32,
    pub(crate) message: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What the members of a collection are in the JSON.
#[derive(Debug, Clone)]
pub(crate) enum Members {
    Items(Vec<Item>),
    Null,
    Absent,
    /// A top-level `error` stands where `value` should.
    Error,
}

/// A collection, or one page of it.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) context: String,
    pub(crate) count: Option<usize>,
    pub(crate) next_link: Option<String>,
    pub(crate) delta_link: Option<String>,
    pub(crate) members: Members,
    pub(crate) select: Vec<String>,
}

/// One object.
#[derive(Debug, Clone)]
pub(crate) struct Entity {
    pub(crate) context: String,
    pub(crate) item: Item,
    pub(crate) select: Vec<String>,
}

/// An answer that is bytes already.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer before it is written down.
#[derive(Debug, Clone)]
pub(crate) enum Draft {
    Page(Page),
    Entity(Entity),
    Error(GraphError),
    Login(LoginError),
    Raw(Raw),
}

/// The content type of Graph's JSON.
const GRAPH_JSON: &str = "application/json;odata.metadata=minimal;odata.streaming=true;\
                          IEEE754Compatible=false;charset=utf-8";
/// The content type of the token endpoint's JSON.
pub(crate) const LOGIN_JSON: &str = "application/json; charset=utf-8";
/// Where the request was served, as Graph's front ends tell.
const DIAGNOSTIC: &str = r#"{"ServerInfo":{"DataCenter":"West Europe","Slice":"E","Ring":"5","ScaleUnit":"004","RoleInstance":"AM4PEPF00000001"}}"#;

/// What every answer to one request has in common.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) now_ms: u64,
    pub(crate) request_id: String,
    pub(crate) client_request_id: String,
    pub(crate) gzip: bool,
    /// Whether it is the token endpoint that answers, which has other headers than Graph.
    pub(crate) login: bool,
    /// What the request costs, in resource units.
    pub(crate) units: u32,
    /// Which share of its tenant's units is used, from where on that is told.
    pub(crate) used: Option<f64>,
}

/// A draft written down.
pub(crate) struct Written {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Envelope {
    pub(crate) fn write(&self, draft: Draft) -> Written {
        let graph = |status, headers, body| Written {
            status,
            content_type: GRAPH_JSON,
            headers,
            body,
        };
        match draft {
            Draft::Page(page) => graph(200, Vec::new(), json_bytes(&Wired(&page, self))),
            Draft::Entity(entity) => graph(200, Vec::new(), json_bytes(&entity)),
            Draft::Error(error) => {
                let body = json_bytes(&self.error_body(error.code, &error.message));
                graph(error.status, error.headers, body)
            }
            Draft::Login(error) => Written {
                status: error.status,
                content_type: LOGIN_JSON,
                body: json_bytes(&self.login_body(&error)),
                headers: error.headers,
            },
            Draft::Raw(raw) => Written {
                status: raw.status,
                content_type: raw.content_type,
                headers: raw.headers,
                body: raw.body,
            },
        }
    }

    /// The answer with all its headers, the body compressed if the client takes that.
    pub(crate) fn seal(&self, written: Written, delay_ms: u64, delivery: Delivery) -> Answer {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            // Only a fault can bring a value that is none for a header; it is left out then.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        put("date", &time::http_date(self.now_ms));
        put("strict-transport-security", "max-age=31536000");
        if self.login {
            put("cache-control", "no-store, no-cache");
            put("x-ms-request-id", &self.request_id);
        } else {
            put("cache-control", "no-cache");
            put("vary", "Accept-Encoding");
            put("odata-version", "4.0");
            put("request-id", &self.request_id);
            put("client-request-id", &self.client_request_id);
            put("x-ms-ags-diagnostic", DIAGNOSTIC);
            put("x-ms-resource-unit", &self.units.to_string());
            if let Some(used) = self.used {
                put("x-ms-throttle-limit-percentage", &format!("{used:.1}"));
            }
        }
        if !written.body.is_empty() {
            put("content-type", written.content_type);
        }
        for (name, value) in &written.headers {
            put(name, value);
        }
        let compressed = self.gzip && !written.body.is_empty();
        if compressed {
            put("content-encoding", "gzip");
        }
        Answer {
            status: StatusCode::from_u16(written.status)
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers,
            body: if compressed {
                gzip(&written.body).into()
            } else {
                written.body.into()
            },
            delay_ms,
            delivery,
        }
    }

    pub(crate) fn error_body(&self, code: &str, message: &str) -> Value {
        json!({ "error": {
            "code": code,
            "message": message,
            "innerError": {
                "date": time::inner_error(self.now_ms),
                "request-id": self.request_id,
                "client-request-id": self.client_request_id,
            },
        }})
    }

    fn login_body(&self, error: &LoginError) -> Value {
        let (stamp, number) = (time::login(self.now_ms), error.aadsts);
        json!({
            "error": error.error,
            "error_description": format!(
                "AADSTS{number}: {} Trace ID: {} Correlation ID: {} Timestamp: {stamp}",
                error.message, self.request_id, self.client_request_id,
            ),
            "error_codes": [number],
            "timestamp": stamp,
            "trace_id": self.request_id,
            "correlation_id": self.client_request_id,
            "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
        })
    }
}

/// A page with the envelope that an error in it would name.
struct Wired<'a>(&'a Page, &'a Envelope);

impl Serialize for Wired<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(page, envelope) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("@odata.context", &page.context)?;
        if let Some(count) = page.count {
            map.serialize_entry("@odata.count", &count)?;
        }
        if let Some(link) = &page.next_link {
            map.serialize_entry("@odata.nextLink", link)?;
        }
        if let Some(link) = &page.delta_link {
            map.serialize_entry("@odata.deltaLink", link)?;
        }
        let select = &page.select;
        match &page.members {
            Members::Items(items) => {
                let rows: Vec<_> = items.iter().map(|item| Row { item, select }).collect();
                map.serialize_entry("value", &rows)?;
            }
            Members::Null => map.serialize_entry("value", &Value::Null)?,
            Members::Absent => {}
            Members::Error => {
                let body = envelope.error_body("InternalServerError", "An error has occurred.");
                map.serialize_entry("error", &body["error"])?;
            }
        }
        map.end()
    }
}

impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("@odata.context", &self.context)?;
        self.item.write(&self.select, &mut map)?;
        map.end()
    }
}

pub(crate) fn json_bytes(value: &impl Serialize) -> Vec<u8> {
    // Every value here has text for keys, which is all that could fail.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Compressed at the fastest level: what matters is that a client has to unpack it.
fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    // Writing to memory cannot fail.
    written.unwrap_or_default()
}
