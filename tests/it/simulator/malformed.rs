//! Requests of every malformed kind: each gets an error in Stripe's shape or a success the contract knows, over a connection that stays.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use super::bench::Bench;
use crate::contract::conform::{conform, conform_to};
use crate::contract::world::Served;

const CASES: u32 = 10_000;
/// The same requests every time, so that one that fails fails again.
const SEED: [u8; 32] = *b"every malformed request forever.";

/// A request as it goes over the wire, valid as HTTP and as nothing else.
#[derive(Clone)]
struct Raw {
    method: String,
    target: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        writeln!(f, "{} {}", self.method, short(self.target.as_bytes()))?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {:?}", short(value))?;
        }
        write!(f, "{:?} ({} bytes)", short(&self.body), self.body.len())
    }
}

/// One keep-alive connection.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("the simulator listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Self(BufReader::new(stream))
    }

    /// Status, whether the connection stays, and the body.
    fn ask(&mut self, raw: &Raw) -> std::io::Result<(u16, bool, String)> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: 127.0.0.1\r\n", raw.method, raw.target).into_bytes();
        for (name, value) in &raw.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", raw.body.len()).as_bytes());
        bytes.extend_from_slice(&raw.body);
        self.0.get_mut().write_all(&bytes)?;
        let (mut status, mut length, mut stays) = (0, 0, true);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.get(..3).and_then(|s| s.parse().ok()).unwrap_or_default();
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().unwrap_or_default();
            } else if line == "connection: close" {
                stays = false;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, stays, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// What is wrong with the answer to a request, if anything.
fn judge(raw: &Raw, status: u16, stays: bool, text: &str) -> Result<(), String> {
    let body: Value = serde_json::from_str(text).map_err(|e| format!("{status}, no JSON ({e}): {text:.300}"))?;
    let violations = match status {
        200 => {
            let path = raw.target.split('?').next().unwrap_or_default();
            let served = Served::all().into_iter().find(|s| s.name_matches(&raw.method, path));
            let served = served.ok_or_else(|| format!("200 from an endpoint that nobody serves: {text:.300}"))?;
            conform_to(&served.name(), served.returns(), &body)
        }
        400..=499 => conform("error", &body),
        _ => return Err(format!("{status}: {text:.300}")),
    };
    match violations.first() {
        _ if !stays => Err(format!("{status}, and the connection is closed")),
        Some(violation) => Err(format!("{status}, {violation}")),
        None => Ok(()),
    }
}

fn word() -> impl Strategy<Value = String> {
    let strange = [
        "",
        "0",
        "1",
        "-1",
        "100",
        "101",
        "99999999999999999999",
        "-9223372036854775808",
        "9223372036854775807",
        "4294967296",
        "1e999",
        "0.5",
        "NaN",
        "+1",
        " 1",
        "true",
        "false",
        "TRUE",
        "null",
        "undefined",
        "{}",
        "[]",
        "all",
        "active",
        "canceled",
        "now",
        "*",
        "eur",
        "EUR",
        "a@b.c",
        "card",
        "pm_card_visa",
        "tok_visa",
        "month",
        "http://127.0.0.1:9/hook",
        "charge.*",
        "data",
        "data.",
        ".",
        "..",
        "data.customer",
        "latest_invoice.payments.data.payment",
        "name:'a' AND",
        "email~\"",
        "created>0 OR created<1",
        "metadata['",
        "-",
        "%",
        "%zz",
        "%00",
        "%ff%fe",
        "%F0%9F%92%B8",
        "%0d%0aX-A:b",
        "a+b",
        "'; DROP TABLE",
        "\u{fffd}",
        "é",
        "名前",
        "%E2%80%AE",
    ];
    prop_oneof![
        6 => select(strange.to_vec()).prop_map(str::to_string),
        2 => "[ -~]{0,12}".prop_map(|s| s.replace(['&', '=', '#', ' ', '?'], "")),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => (1usize..20_000).prop_map(|n| "x".repeat(n)),
    ]
}

fn value(ids: Vec<String>) -> impl Strategy<Value = String> {
    prop_oneof![3 => word(), 2 => select(ids)]
}

/// `limit`, `limit[]`, `limit[0][a]`, brackets without end, and worse.
fn key(names: Vec<String>) -> impl Strategy<Value = String> {
    let name = prop_oneof![8 => select(names), 1 => word()];
    let inside = prop_oneof![
        8 => Just(String::new()),
        3 => Just("[]".to_string()),
        3 => select(vec!["[0]", "[a]", "[gte]", "[lt]", "[0][price]", "[0][quantity]", "[][]", "[a][b]", "[", "]", "[]]", "[[a]", "[%00]", "[-1]",
            "[99999999999999999999]", "[18446744073709551615]", "[ ]", ".a", "[a]b", "%5B0%5D", "%5B%5D"]).prop_map(str::to_string),
        1 => (1usize..10_000).prop_map(|n| "[a]".repeat(n)),
        1 => (1usize..10_000).prop_map(|n| "[]".repeat(n)),
        1 => (1usize..10_000).prop_map(|n| "[".repeat(n)),
        1 => (1usize..20_000).prop_map(|n| format!("[{}]", "k".repeat(n))),
    ];
    (name, inside).prop_map(|(name, inside)| name + &inside)
}

fn form(names: Vec<String>, ids: Vec<String>) -> impl Strategy<Value = String> {
    let pair = (key(names), value(ids), 0u8..20).prop_map(|(key, value, odd)| match odd {
        0 => key,
        1 => format!("={value}"),
        2 => format!("{key}={value}={value}"),
        3 => format!("{key}={value}&{key}={value}"),
        4 => format!("&&{key}={value}&"),
        _ => format!("{key}={value}"),
    });
    vec(pair, 0..5).prop_map(|pairs| pairs.join("&"))
}

fn body(names: Vec<String>, ids: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        10 => form(names, ids).prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..200),
        1 => select(vec!["{\"name\":\"x\"}", "[1,2]", "null", "<xml/>", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--", "a=%"])
            .prop_map(|s| s.as_bytes().to_vec()),
        1 => (0usize..100_000).prop_map(|n| vec![b'&'; n]),
        1 => (0usize..3_000).prop_map(|n| (0..n).fold(String::new(), |mut all, i| {
            let _ = write!(all, "metadata[k{i}]={i}&");
            all
        }).into_bytes()),
    ]
}

fn headers(key: &str) -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> + use<> {
    let good = format!("Bearer {key}");
    let auth = prop_oneof![
        12 => Just(Some(good.into_bytes())),
        1 => Just(None),
        1 => select(vec!["Bearer ", "Bearer", "Basic ???", "Basic Og==", "Bearer sk_live_51abcdefghijklmnop", "Bearer rk_test_1", "Bearer pk_test_1", "Digest x", "",
            "Bearer \u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"]).prop_map(|s| Some(s.as_bytes().to_vec())),
    ];
    let version = prop_oneof![
        8 => Just(None),
        1 => select(vec!["2026-09-30.endive", "2020-08-27", "latest", "", "2026-99-99", "2026-09-30", "99999-01-01", "\u{e9}"]).prop_map(|s| Some(s.as_bytes().to_vec())),
    ];
    let idempotency = prop_oneof![
        8 => Just(None),
        2 => Just(Some(b"the-same".to_vec())),
        1 => select(vec![0usize, 1, 255, 256, 5_000]).prop_map(|n| Some(vec![b'k'; n])),
        1 => vec(0xa0u8..0xff, 1..20).prop_map(Some),
    ];
    let kind = prop_oneof![
        8 => Just(Some(b"application/x-www-form-urlencoded".to_vec())),
        1 => select(vec!["application/json", "multipart/form-data; boundary=b", "multipart/form-data", "text/plain", "", "x", "application/x-www-form-urlencoded; charset=utf-16"])
            .prop_map(|s| Some(s.as_bytes().to_vec())),
        1 => Just(None),
    ];
    (auth, version, idempotency, kind).prop_map(|(auth, version, idempotency, kind)| {
        let all = [("Authorization", auth), ("Stripe-Version", version), ("Idempotency-Key", idempotency), ("Content-Type", kind)];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    })
}

fn target(ids: Vec<String>) -> impl Strategy<Value = (String, String, Vec<String>)> {
    let id = prop_oneof![3 => select(ids), 1 => word()].prop_map(|id| id.replace(['/', '?', '#', ' '], "_"));
    let all: Vec<(String, String, Vec<String>)> =
        Served::all().into_iter().map(|s| (s.method.to_string(), s.path.clone(), names(&s))).collect();
    let methods = select(vec!["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "PURGE"]);
    (select(all), id, prop::option::weighted(0.1, methods), "[ -~]{0,20}", 0u8..20).prop_map(
        |((method, path, names), id, other, noise, odd)| {
            let path = ascii(&path.replace("{id}", &id));
            let path = match odd {
                0 => format!("{path}/"),
                1 => format!("{path}//x"),
                2 => format!("/{}", noise.replace(['#', ' ', '?', '"', '<', '>', '`', '{', '}', '\\', '^', '|'], "")),
                3 => path.replacen("/v1", "/v2", 1),
                _ => path,
            };
            (other.map_or(method, str::to_string), path, names)
        },
    )
}

/// The parameters an endpoint takes, as they are sent, and one it does not.
fn names(served: &Served) -> Vec<String> {
    let sent = |pattern: &&str| {
        let pattern = pattern.trim_end_matches("[]").trim_end_matches("{}").trim_end_matches("<>").replace("[]", "[0]");
        let (head, rest) = pattern.split_once('.').unwrap_or((&pattern, ""));
        if rest.is_empty() { head.to_string() } else { format!("{head}[{}]", rest.replace('.', "][").replace("[0]]", "][0]")) }
    };
    served.params.iter().map(sent).chain(["wishes".to_string()]).collect()
}

/// A request's target is ASCII: everything else is percent-encoded.
fn ascii(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, b| {
        let _ = if b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b) { write!(all, "{}", b as char) } else { write!(all, "%{b:02X}") };
        all
    })
}

fn requests(key: &str, ids: Vec<String>) -> impl Strategy<Value = Raw> + use<> {
    let headers = headers(key);
    let more = ids.clone();
    let line = target(ids).prop_flat_map(move |(method, path, names)| {
        let (query, body) = (form(names.clone(), more.clone()), body(names, more.clone()));
        (Just(method), Just(path), query, body, 0u8..10)
    });
    (line, headers).prop_map(|((method, path, query, body, place), headers)| {
        // Mostly where such a request has its parameters, now and then in the other place, or in both.
        let (in_query, in_body) = match (method.as_str(), place) {
            (_, 0) => (true, true),
            ("GET", 1) | ("POST", 2..) => (false, true),
            _ => (true, false),
        };
        let query = ascii(&query).chars().take(50_000).collect::<String>();
        let target = if in_query && !query.is_empty() { format!("{path}?{query}") } else { path };
        Raw { method, target, headers, body: if in_body { body } else { Vec::new() } }
    })
}

/// Ids of objects that exist, of every kind that a list shows.
async fn ids(bench: &Bench) -> Vec<String> {
    bench.sim.set_webhook_url("http://127.0.0.1:9/webhooks".to_string());
    bench.checkout(bench.paying("active").number, true);
    let mut all: Vec<String> = ["nobody", "cus_1", "acct_1"].map(str::to_string).to_vec();
    for served in Served::all().into_iter().filter(|s| s.name().starts_with("GET") && !s.by_id() && s.takes("limit")) {
        let page = bench.get(&format!("{}?limit=3", served.path)).await;
        all.extend(page.json()["data"].as_array().into_iter().flatten().filter_map(|v| v["id"].as_str()).map(str::to_string));
    }
    all
}

#[test]
fn every_malformed_request_gets_an_answer_in_stripes_shape() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let bench = runtime.block_on(Bench::new(60));
    let ids = runtime.block_on(ids(&bench));
    let to: SocketAddr = bench.sim.base_url().trim_start_matches("http://").trim_end_matches('/').parse().expect("an address");
    let wire = RefCell::new(Wire::open(to));
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let outcome = TestRunner::new_with_rng(config, rng).run(&requests(&bench.key, ids), |raw| {
        let answer = wire.borrow_mut().ask(&raw);
        let verdict = match answer {
            Ok((status, stays, text)) => judge(&raw, status, stays, &text),
            Err(error) => Err(format!("no answer: {error}")),
        };
        verdict.map_err(|what| {
            // A failing request may have cost the connection, which the smaller ones need.
            *wire.borrow_mut() = Wire::open(to);
            TestCaseError::fail(what)
        })
    });
    if let Err(failed) = outcome {
        panic!("{failed}");
    }
    assert!(runtime.block_on(bench.get("/v1/balance")).status == 200, "it still serves");
    runtime.block_on(bench.sim.stop());
}

#[tokio::test]
async fn a_body_past_every_size_is_refused_in_stripes_shape() {
    let bench = Bench::new(20).await;
    let reply = bench.post("/v1/customers", &format!("name={}", "x".repeat(2 << 20)), None).await;
    assert_eq!((reply.status, conform("error", &reply.json())), (413, vec![]), "{}", reply.text);
}
