//! What must not grow with the population: one page of a list from the simulator, of a thousand customers and of a million; and how many
//! pages a second a client gets that turns page after page, as the README's table has it.
//! `cargo bench --bench simulator`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use nightdesk::sandbox::population::Population;
use nightdesk::sandbox::stripe::{Simulator, SimulatorOptions};
use serde::Deserialize;
use serde_json::Value;

const POPULATIONS: [u64; 2] = [1_000, 1_000_000];
const ROUNDS: usize = 60;
/// As many elements as a page can have. The second page follows a cursor; the third place is entered by a time.
const LISTS: [&str; 9] = [
    "/v1/customers?limit=100",
    "/v1/subscriptions?limit=100&status=all",
    "/v1/subscriptions?limit=100&price=price_pro_month",
    "/v1/invoices?limit=100",
    "/v1/invoice_payments?limit=100",
    "/v1/payment_intents?limit=100",
    "/v1/charges?limit=100",
    "/v1/checkout/sessions?limit=100",
    "/v1/events?limit=100",
];

/// So many pages are turned of each list, from the beginning again where it is shorter.
const TURNED: usize = 300;
/// The rows of the README's table. Events of a rare type are those of ended subscriptions.
const TURNS: [(&str, &[&str]); 3] = [
    (
        "100 elements",
        &[
            "/v1/customers?limit=100",
            "/v1/invoice_payments?limit=100",
            "/v1/payment_intents?limit=100",
            "/v1/checkout/sessions?limit=100",
            "/v1/subscriptions?limit=100&status=all",
            "/v1/invoices?limit=100",
            "/v1/events?limit=100",
            "/v1/charges?limit=100",
        ],
    ),
    ("100 elements, filtered", &["/v1/subscriptions?limit=100&status=past_due", "/v1/events?limit=100&type=customer.subscription.deleted"]),
    (
        "10 elements",
        &[
            "/v1/customers?limit=10",
            "/v1/invoice_payments?limit=10",
            "/v1/payment_intents?limit=10",
            "/v1/checkout/sessions?limit=10",
            "/v1/subscriptions?limit=10&status=all",
            "/v1/invoices?limit=10",
            "/v1/events?limit=10",
            "/v1/charges?limit=10",
            "/v1/events?limit=10&type=customer.subscription.deleted",
        ],
    ),
];

struct Place {
    simulator: Simulator,
    http: reqwest::Client,
}

/// What turning the page takes.
#[derive(Deserialize)]
struct Page {
    data: Vec<Element>,
    has_more: bool,
}

#[derive(Deserialize)]
struct Element {
    id: String,
}

#[tokio::main]
async fn main() {
    let mut places = Vec::new();
    for customers in POPULATIONS {
        let population = Arc::new(Population::new(42, customers, Utc::now()));
        let simulator = Simulator::start(SimulatorOptions::new(population)).await.expect("a loopback port");
        places.push(Place { simulator, http: reqwest::Client::builder().no_proxy().build().expect("a client") });
    }
    println!("{:<66} {:>12} {:>12} {:>8} {:>9}", "page", POPULATIONS[0], POPULATIONS[1], "ratio", "pages/s");
    for list in LISTS {
        for start in ["first page", "second page", "from the past"] {
            let [few, many] = [&places[0], &places[1]];
            let mut times = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
            let paths = [few.path(list, start).await, many.path(list, start).await];
            // In turn, so that whatever else the machine does falls on both.
            for _ in 0..ROUNDS {
                times[0].push(few.time(&paths[0]).await);
                times[1].push(many.time(&paths[1]).await);
            }
            report(&format!("{list}, {start}"), &mut times);
        }
    }
    println!("\n{:<66} {:>9}", format!("page after page, of {} customers", POPULATIONS[1]), "pages/s");
    for (elements, lists) in TURNS {
        println!("{elements}");
        for list in lists {
            println!("  {list:<64} {:>9.0}", places[1].turn(list).await);
        }
    }
    for place in places {
        place.simulator.stop().await;
    }
}

impl Place {
    async fn get(&self, path: &str) -> Vec<u8> {
        let url = format!("{}{path}", self.simulator.base_url());
        let answer = self.http.get(url).bearer_auth(self.simulator.secret_key()).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.expect("a body").to_vec()
    }

    /// The same list after its hundredth element.
    async fn after_a_page(&self, list: &str) -> String {
        let page: Value = serde_json::from_slice(&self.get(list).await).expect("a list");
        let last = page["data"].as_array().and_then(|data| data.last()).expect("there is more than one page");
        format!("{list}&starting_after={}", last["id"].as_str().expect("an id"))
    }

    /// Pages per second of a client that turns page after page.
    async fn turn(&self, list: &str) -> f64 {
        let began = Instant::now();
        let mut path = list.to_string();
        for _ in 0..TURNED {
            let page: Page = serde_json::from_slice(&self.get(&path).await).expect("a list");
            path = match page.data.last() {
                Some(last) if page.has_more => format!("{list}&starting_after={}", last.id),
                _ => list.to_string(),
            };
        }
        TURNED as f64 / began.elapsed().as_secs_f64()
    }

    async fn path(&self, list: &str, start: &str) -> String {
        match start {
            "first page" => list.to_string(),
            "second page" => self.after_a_page(list).await,
            _ => from_the_past(list),
        }
    }

    async fn time(&self, path: &str) -> Duration {
        let began = Instant::now();
        self.get(path).await;
        began.elapsed()
    }
}

/// The fastest tell what the work is, since anything else on the machine only adds to it; the median tells what it came to.
fn report(what: &str, times: &mut [Vec<Duration>; 2]) {
    times.iter_mut().for_each(|t| t.sort_unstable());
    let [few, many] = [times[0][0], times[1][0]];
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    let per_second = 1.0 / times[1][ROUNDS / 2].as_secs_f64();
    println!("{what:<66} {few:>12.1?} {many:>12.1?} {ratio:>8.2} {per_second:>9.0}");
}

/// The same list up to half a year ago; events are kept for thirty days.
fn from_the_past(list: &str) -> String {
    let days = if list.contains("events") { 15 } else { 150 };
    format!("{list}&created[lt]={}", Utc::now().timestamp() - days * 86_400)
}
