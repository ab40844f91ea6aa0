//! Redaction jobs: validated, refused over what is in the way, run, canceled; and what is left of the redacted.

use std::collections::BTreeSet;

use nightdesk::sandbox::population::Person;
use serde_json::{Value, json};

use super::{DAY, SECOND, Tale, sorted, text};
use crate::contract::world::Served;

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

/// Somebody who left more than 90 days before the time that is moved to.
async fn gone(tale: &Tale) -> Person {
    tale.pass(100 * DAY);
    tale.bench.paying("canceled")
}

async fn status(tale: &Tale, job: &str) -> String {
    text(&tale.get(&format!("privacy/redaction_jobs/{job}")).await["status"])
}

#[tokio::test]
async fn a_customer_is_redacted_with_everything() {
    let mut tale = Tale::new().await;
    let person = gone(&tale).await;
    let (customer, plan) = (person.customer.clone().expect("known"), person.plan.clone().expect("paid"));
    tale.bench.sim.delete_customer(&customer, tale.bench.sim.now());
    tale.events().await;
    let job = tale.make("privacy/redaction_jobs", &format!("objects[customers][]={customer}")).await;
    let id = text(&job["id"]);
    assert_eq!((&job["status"], &job["objects"]["customers"]), (&json!("created"), &json!([customer])));
    tale.post(&format!("privacy/redaction_jobs/{id}/run"), "").await.refused(400, "", "status of created");
    tale.pass(2 * SECOND);
    assert_eq!(status(&tale, &id).await, "validating");
    tale.pass(MINUTE);
    assert_eq!(status(&tale, &id).await, "ready", "{}", tale.get(&format!("privacy/redaction_jobs/{id}/validation_errors")).await);
    tale.post(&format!("privacy/redaction_jobs/{id}/validate"), "").await.refused(400, "", "status of ready");
    assert_eq!(tale.make(&format!("privacy/redaction_jobs/{id}/run"), "").await["status"], "redacting");
    tale.pass(2 * MINUTE);
    assert_eq!(status(&tale, &id).await, "succeeded");
    assert_eq!(tale.types().await, ["privacy.redaction_job.created", "privacy.redaction_job.ready", "privacy.redaction_job.succeeded"]);
    let charge = tale.get(&format!("payment_intents/{}?expand[]=latest_charge", plan.payment_intent)).await["latest_charge"].clone();
    assert_eq!((&charge["billing_details"]["email"], &charge["billing_details"]["name"]), (&json!("[redacted]"), &json!("[redacted]")));
    let invoice = tale.get(&format!("invoices/{}", plan.invoice)).await;
    assert_eq!(
        (&invoice["customer_email"], &invoice["amount_paid"]),
        (&json!("[redacted]"), &invoice["amount_due"]),
        "what was paid stays"
    );
    for path in ["charges", "invoices", "payment_intents", "checkout/sessions"] {
        let page = tale.bench.get(&format!("/v1/{path}?customer={customer}&limit=100")).await;
        assert!(!page.text.contains(&person.email) && !page.text.contains(&person.name), "{path}");
    }
    let events = tale.get("events?limit=100&type=customer.deleted").await;
    assert!(!events.to_string().contains(&person.email), "the events too: {events}");
    let refund = tale.post("refunds", &format!("charge={}", text(&charge["id"]))).await;
    refund.refused(400, "", "has been redacted");
    tale.post(&format!("charges/{}", text(&charge["id"])), "description=x").await.refused(400, "", "has been redacted");
    let lost = tale.bench.sim.open_dispute(&text(&charge["id"]), "fraudulent", false, tale.bench.sim.now()).expect("opened");
    assert_eq!(tale.get(&format!("disputes/{lost}")).await["status"], "lost", "nothing is left to answer with");
    let listed = tale.bench.walk("/v1/privacy/redaction_jobs?limit=1&status=succeeded").await;
    assert_eq!(listed, [id]);
}

#[tokio::test]
async fn what_is_in_the_way_is_named() {
    let mut tale = Tale::new().await;
    let person = tale.bench.paying("past_due");
    let (customer, plan) = (person.customer.expect("known"), person.plan.expect("paid"));
    let disputed = tale.bench.get(&format!("/v1/charges?customer={customer}&limit=100")).await.json();
    let paid = disputed["data"].as_array().expect("a list").iter().find(|c| c["paid"] == true).expect("paid once")["id"].clone();
    tale.bench.sim.open_dispute(&text(&paid), "fraudulent", true, tale.bench.sim.now()).expect("opened");
    let make = format!("objects[customers][]={customer}");
    let id = text(&tale.make("privacy/redaction_jobs", &make).await["id"]);
    tale.events().await;
    tale.pass(MINUTE);
    assert_eq!(status(&tale, &id).await, "failed");
    assert_eq!(tale.types().await, ["privacy.redaction_job.validation_error"]);
    let errors = tale.get(&format!("privacy/redaction_jobs/{id}/validation_errors?limit=100")).await;
    let about = |kind: &str, part: &str| {
        let all = errors["data"].as_array().expect("a list");
        all.iter()
            .any(|e| e["erroring_object"]["object_type"] == kind && text(&e["message"]).contains(part) && e["code"] == "invalid_state")
    };
    for (kind, part) in [
        ("subscription", "not canceled"),
        ("invoice", "not finalized"),
        ("payment_intent", "not finalized. Confirm or cancel"),
        ("payment_method", "Detach"),
        ("charge", "open dispute"),
    ] {
        assert!(about(kind, part), "{kind}: {errors}");
    }
    // The job can do some of it, and not all.
    let fixing = tale.make(&format!("privacy/redaction_jobs/{id}"), "validation_behavior=fix").await;
    assert_eq!(fixing["validation_behavior"], "fix");
    assert_eq!(tale.make(&format!("privacy/redaction_jobs/{id}/validate"), "").await["status"], "validating");
    tale.pass(MINUTE);
    let left = tale.get(&format!("privacy/redaction_jobs/{id}/validation_errors?limit=100")).await;
    let kinds = sorted(left["data"].as_array().expect("a list").iter().map(|e| text(&e["erroring_object"]["object_type"])));
    assert!(kinds.contains(&"charge".to_string()) && !kinds.contains(&"subscription".to_string()), "{left}");
    assert_eq!(tale.get(&format!("subscriptions/{}", plan.subscription)).await["status"], "past_due", "nothing is fixed before it runs");
    assert_eq!(tale.make(&format!("privacy/redaction_jobs/{id}/cancel"), "").await["status"], "canceling");
    tale.pass(2 * SECOND);
    assert_eq!(status(&tale, &id).await, "canceled");
    assert_eq!(tale.types().await, ["privacy.redaction_job.validation_error", "privacy.redaction_job.canceled"]);
}

#[tokio::test]
async fn a_job_fixes_what_it_can() {
    let mut tale = Tale::new().await;
    let customer = text(&tale.make("customers", "name=Ada+Unique&email=ada.unique%40example.com").await["id"]);
    tale.make("payment_methods/pm_card_visa/attach", &format!("customer={customer}")).await;
    let intent = text(&tale.make("payment_intents", &format!("amount=5000&currency=eur&customer={customer}&description=Gift")).await["id"]);
    let id = text(&tale.make("privacy/redaction_jobs", &format!("objects[customers][]={customer}&validation_behavior=fix")).await["id"]);
    tale.pass(MINUTE);
    // Another job cannot have the same customer now.
    let other = text(&tale.make("privacy/redaction_jobs", &format!("objects[customers][]={customer}&validation_behavior=fix")).await["id"]);
    tale.pass(MINUTE);
    let errors = tale.get(&format!("privacy/redaction_jobs/{other}/validation_errors")).await;
    assert_eq!(errors["data"][0]["code"], "locked_by_other_job");
    tale.events().await;
    tale.make(&format!("privacy/redaction_jobs/{id}/run"), "").await;
    tale.pass(2 * MINUTE);
    assert_eq!(status(&tale, &id).await, "succeeded");
    assert_eq!(sorted(tale.types().await), ["payment_intent.canceled", "payment_method.detached", "privacy.redaction_job.succeeded"]);
    let found = tale.get(&format!("payment_intents/{intent}")).await;
    assert_eq!((&found["status"], &found["description"]), (&json!("canceled"), &json!("[redacted]")));
    let shown = tale.get(&format!("customers/{customer}")).await;
    assert_eq!((&shown["email"], &shown["name"], &shown["phone"]), (&json!("[redacted]"), &json!("[redacted]"), &Value::Null));
    assert!(!tale.bench.get("/v1/events?limit=100").await.text.contains("ada.unique"), "nor in any event");
}

const NAME: &str = "Ada Unmistakable";
const EMAIL: &str = "ada.unmistakable@example.com";

/// Where a customer's name or e-mail address is shown: every list that can be narrowed to the customer or shows the newest, every search, and
/// each object that is named on the way.
async fn shown(tale: &Tale, customer: &str) -> BTreeSet<String> {
    let (mut places, mut asked) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![format!("/v1/customers/{customer}"), format!("/v1/customers/{customer}/payment_methods")];
    for served in Served::all().into_iter().filter(|s| s.method == reqwest::Method::GET && !s.by_id()) {
        if ["/v1/prices", "/v1/products"].iter().any(|goods| served.path.starts_with(goods)) {
            continue;
        }
        if served.path.ends_with("/search") {
            open.push(format!("{}?query=created%3E0&limit=100", served.path));
        } else if served.takes("customer") {
            open.push(format!("{}?limit=100&customer={customer}", served.path));
        } else if served.takes("limit") && served.path != "/v1/subscription_items" {
            open.push(format!("{}?limit=100", served.path));
        }
    }
    while let Some(path) = open.pop() {
        if !asked.insert(path.clone()) {
            continue;
        }
        let reply = tale.bench.get(&path).await;
        assert!(reply.status == 200 || (reply.status == 404 && !path.contains('?')), "{path}: {}", reply.text);
        if reply.text.contains(NAME) || reply.text.contains(EMAIL) {
            places.insert(path.clone());
        }
        // Searches, and most lists that know no customers, show others' objects as well.
        if !path.contains('?') || path.contains("customer=") || path.starts_with("/v1/refunds") {
            named(&reply.json(), &mut open);
        }
    }
    places
}

/// The paths of everything a value names by its id.
fn named(value: &Value, into: &mut Vec<String>) {
    let kinds = [
        ("ch_", "charges"),
        ("cs_", "checkout/sessions"),
        ("du_", "disputes"),
        ("ii_", "invoiceitems"),
        ("in_", "invoices"),
        ("inpay_", "invoice_payments"),
        ("pi_", "payment_intents"),
        ("pm_1", "payment_methods"),
        ("re_", "refunds"),
        ("sub_", "subscriptions"),
        ("txn_", "balance_transactions"),
    ];
    match value {
        Value::String(id) if id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            let kind = kinds.iter().find(|(prefix, _)| id.starts_with(prefix));
            into.extend(kind.map(|(_, path)| format!("/v1/{path}/{id}")));
        }
        Value::Object(map) => map.values().for_each(|v| named(v, into)),
        Value::Array(all) => all.iter().for_each(|v| named(v, into)),
        _ => {}
    }
}

#[tokio::test]
async fn nothing_that_is_shown_names_who_was_redacted() {
    let tale = Tale::new().await;
    let who = |prefix: &str| format!("{prefix}[name]=Ada+Unmistakable&{prefix}[email]=ada.unmistakable%40example.com");
    let method = async |token: &str| {
        text(&tale.make("payment_methods", &format!("type=card&card[token]={token}&{}", who("billing_details"))).await["id"])
    };
    let customer = text(&tale.make("customers", "name=Ada+Unmistakable&email=ada.unmistakable%40example.com").await["id"]);
    let saved = method("tok_visa").await;
    tale.make(&format!("payment_methods/{saved}/attach"), &format!("customer={customer}")).await;
    let base = format!("amount=5000&currency=eur&customer={customer}&confirm=true&description=For+Ada+Unmistakable");
    let base = format!("{base}&automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never");
    tale.make("payment_intents", &format!("{base}&payment_method={saved}")).await;
    let pending = method("tok_pendingRefund").await;
    let paid = text(&tale.make("payment_intents", &format!("{base}&payment_method={pending}")).await["latest_charge"]);
    tale.make("invoiceitems", &format!("customer={customer}&amount=700&currency=eur&description=Lesson+for+Ada+Unmistakable")).await;
    let invoice = text(
        &tale.make("invoices", &format!("customer={customer}&default_payment_method={saved}&pending_invoice_items_behavior=include")).await
            ["id"],
    );
    tale.make(&format!("invoices/{invoice}/pay"), "").await;
    tale.pass(95 * DAY);
    // What happens now is told in events that are still listed.
    let declined = method("tok_chargeDeclined").await;
    tale.post("payment_intents", &format!("{base}&payment_method={declined}")).await.refused(402, "card_declined", "declined");
    tale.make("invoiceitems", &format!("customer={customer}&amount=900&currency=eur&description=Ada+Unmistakable+again")).await;
    let form = format!("charge={paid}&amount=500&instructions_email=ada.unmistakable%40example.com");
    let refund = text(&tale.make("refunds", &form).await["id"]);
    assert!(tale.bench.sim.ask_customer_about_refund(&refund, tale.bench.sim.now()), "it pends");
    let waiting = tale.get(&format!("refunds/{refund}")).await;
    assert_eq!(waiting["next_action"]["display_details"]["email_sent"]["email_sent_to"], EMAIL);
    tale.bench.sim.delete_customer(&customer, tale.bench.sim.now());
    let before = shown(&tale, &customer).await;
    for part in ["refunds/re_", "charges/ch_", "payment_intents/pi_", "invoices/in_", "payment_methods/pm_", "/v1/events", "transactions/"]
    {
        assert!(before.iter().any(|path| path.contains(part)), "{part}: {before:?}");
    }
    let id = text(&tale.make("privacy/redaction_jobs", &format!("objects[customers][]={customer}&validation_behavior=fix")).await["id"]);
    tale.pass(MINUTE);
    assert_eq!(status(&tale, &id).await, "ready", "{}", tale.get(&format!("privacy/redaction_jobs/{id}/validation_errors")).await);
    tale.make(&format!("privacy/redaction_jobs/{id}/run"), "").await;
    tale.pass(2 * MINUTE);
    assert_eq!(status(&tale, &id).await, "succeeded");
    assert_eq!(shown(&tale, &customer).await, BTreeSet::new());
}

#[tokio::test]
async fn no_job_is_made_of_this() {
    let tale = Tale::new().await;
    let many: String = (0..11).map(|_| format!("&objects[customers][]={}", tale.bench.paying("active").customer.expect("known"))).collect();
    for (form, code, message) in [
        ("", "parameter_missing", "objects"),
        ("objects[customers][]=cus_nobody", "resource_missing", "No such customer: 'cus_nobody'"),
        ("objects[setup_intents][]=seti_1", "resource_missing", "No such setup_intent: 'seti_1'"),
        ("objects[wishes][]=w_1", "parameter_unknown", "objects[wishes]"),
        ("validation_behavior=guess", "", "must be one of error or fix"),
        (many.as_str(), "", "at most 10"),
    ] {
        tale.post("privacy/redaction_jobs", form).await.refused(400, code, message);
    }
    tale.bench.get("/v1/privacy/redaction_jobs/prj_nobody").await.refused(404, "resource_missing", "No such redaction job");
}
