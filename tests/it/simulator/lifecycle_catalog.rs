//! Customers, products, prices and payment methods from their making to their end: the events of each step, and what is refused on the way.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::bench::{Bench, Reply};
use crate::contract::conform::{assert_none, conform};

impl Bench {
    /// What a step makes happen, by the types of its events.
    pub async fn told(&self, step: impl Future<Output = Reply>) -> (Value, Vec<(String, Value, Value)>) {
        let before = self.get("/v1/events?limit=1").await.ids();
        let reply = step.await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let page = self.get(&format!("/v1/events?limit=100&ending_before={}", before[0])).await.json();
        let mut found: Vec<_> = page["data"].as_array().expect("a list").iter().map(story).collect();
        found.reverse();
        (reply.json(), found)
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }
}

fn story(event: &Value) -> (String, Value, Value) {
    let object = &event["data"]["object"];
    assert_none(conform(object["object"].as_str().expect("a kind"), object));
    let kind = event["type"].as_str().expect("a type").to_string();
    (kind, event["data"]["previous_attributes"].clone(), object.clone())
}

pub fn types(events: &[(String, Value, Value)]) -> Vec<&str> {
    events.iter().map(|(kind, _, _)| kind.as_str()).collect()
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_else(|| panic!("no id: {object}")).to_string()
}

#[tokio::test]
async fn a_customer_is_made_changed_and_deleted() {
    let bench = Bench::new(50).await;
    let form = "name=Ada&email=ada%40example.com&phone=%2B49&description=d&metadata[a]=b&address[city]=Bonn&address[country]=DE\
        &payment_method=pm_card_visa&invoice_settings[default_payment_method]=pm_card_visa&preferred_locales[]=de&tax_exempt=exempt\
        &shipping[name]=Ada&shipping[address][line1]=Weg+1";
    let (made, events) = bench.told(bench.post("/v1/customers", form, None)).await;
    assert_eq!(types(&events), ["customer.created", "payment_method.attached"]);
    assert_none(conform("customer", &made));
    let (customer, method) = (id(&made), made["invoice_settings"]["default_payment_method"].as_str().expect("its card").to_string());
    assert_eq!((&made["name"], &made["address"]["city"], &made["address"]["line2"]), (&json!("Ada"), &json!("Bonn"), &Value::Null));
    assert_eq!((&made["shipping"]["address"]["line1"], &made["preferred_locales"]), (&json!("Weg 1"), &json!(["de"])));
    assert_eq!(bench.get(&format!("/v1/customers/{customer}/payment_methods")).await.ids(), [method.as_str()]);
    let path = format!("/v1/customers/{customer}");
    let (changed, events) = bench.told(bench.post(&path, "name=Grace&phone=&metadata[a]=&metadata[c]=d", None)).await;
    assert_eq!((types(&events), &changed["phone"], &changed["metadata"]), (vec!["customer.updated"], &Value::Null, &json!({ "c": "d" })));
    let previous = events[0].1.as_object().expect("previous values");
    assert_eq!((&previous["name"], &previous["phone"], previous.contains_key("email")), (&json!("Ada"), &json!("+49"), false));
    let (_, events) = bench.told(bench.post(&path, "name=Grace", None)).await;
    assert!(events.is_empty(), "nothing changed");
    let subscription = bench.sim.add_subscription(&customer, "price_pro_month", bench.sim.now()).subscription;
    let (gone, events) = bench.told(bench.delete(&path)).await;
    assert_eq!(gone, json!({ "id": customer, "object": "customer", "deleted": true }));
    assert_eq!(types(&events), ["customer.subscription.deleted", "customer.deleted"]);
    assert_eq!((&events[0].2["id"], &events[1].2["name"]), (&json!(subscription), &json!("Grace")));
    assert_eq!(bench.get(&path).await.json(), gone);
    assert!(!bench.get("/v1/customers?limit=100").await.ids().contains(&customer));
    bench.post(&path, "name=x", None).await.refused(404, "resource_missing", "No such customer");
    assert_eq!(bench.get(&format!("/v1/payment_methods/{method}")).await.json()["customer"], Value::Null);
}

#[tokio::test]
async fn a_customer_with_wrong_particulars_is_refused() {
    let bench = Bench::new(20).await;
    let post = |form: &'static str| bench.post("/v1/customers", form, None);
    post("email=ada").await.refused(400, "email_invalid", "Invalid email address: ada");
    post("tax_exempt=always").await.refused(400, "", "Invalid tax_exempt: must be one of");
    post("shipping[phone]=1").await.refused(400, "parameter_missing", "Missing required param: shipping[name].");
    post("payment_method=pm_nothing").await.refused(400, "resource_missing", "No such PaymentMethod: 'pm_nothing'");
    post("colour=red").await.refused(400, "parameter_unknown", "Received unknown parameter: colour");
    let before = bench.get("/v1/customers?limit=1").await.ids();
    let declined = post("payment_method=pm_card_visa_chargeDeclinedInsufficientFunds").await;
    declined.refused(402, "card_declined", "Your card has insufficient funds.");
    assert_eq!(
        (&declined.json()["error"]["type"], &declined.json()["error"]["decline_code"]),
        (&json!("card_error"), &json!("insufficient_funds"))
    );
    assert_eq!(bench.get("/v1/customers?limit=1").await.ids(), before, "nobody was made");
    let customer = before[0].clone();
    let path = format!("/v1/customers/{customer}");
    let not_theirs = bench.post(&path, "invoice_settings[default_payment_method]=pm_card_visa", None).await;
    not_theirs.refused(400, "resource_missing", "The customer does not have a payment method with the ID pm_card_visa");
}

#[tokio::test]
async fn a_product_and_its_prices_are_made_changed_and_taken_away() {
    let bench = Bench::new(50).await;
    let form = "name=Gold&metadata[tier]=GOLD&default_price_data[currency]=eur&default_price_data[unit_amount]=900\
        &default_price_data[recurring][interval]=month&marketing_features[0][name]=Fast";
    let (product, events) = bench.told(bench.post("/v1/products", form, None)).await;
    assert_eq!(types(&events), ["product.created", "price.created", "plan.created"]);
    assert_none(conform("product", &product));
    let (product, first) = (id(&product), product["default_price"].as_str().expect("a price").to_string());
    let form = format!(
        "product={product}&currency=EUR&unit_amount=2500&recurring[interval]=week&recurring[interval_count]=2&lookup_key=gold&nickname=G&metadata[a]=b"
    );
    let (price, events) = bench.told(bench.post("/v1/prices", &form, None)).await;
    assert_none(conform("price", &price));
    assert_eq!((types(&events), &price["currency"]), (vec!["price.created", "plan.created"], &json!("eur")));
    let price = id(&price);
    let made =
        bench.sim.add_subscription(&bench.people.person(bench.paying("active").number).customer.expect("pays"), &price, bench.sim.now());
    let subscribed = bench.get(&format!("/v1/subscriptions/{}", made.subscription)).await.json();
    let item = &subscribed["items"]["data"][0];
    assert_eq!((&item["price"]["id"], &item["plan"]["interval_count"]), (&json!(price), &json!(2)));
    let length = item["current_period_end"].as_i64().expect("a time") - item["current_period_start"].as_i64().expect("a time");
    assert_eq!(length, 14 * 86_400);
    assert!(bench.get(&format!("/v1/subscriptions?price={price}")).await.ids().contains(&made.subscription));
    for (query, found) in [
        (format!("product={product}"), vec![price.clone(), first.clone()]),
        ("lookup_keys[]=gold".into(), vec![price.clone()]),
        ("recurring[interval]=week".into(), vec![price.clone()]),
        ("active=false".into(), vec!["price_legacy_gold".to_string()]),
    ] {
        assert_eq!(bench.get(&format!("/v1/prices?{query}")).await.ids(), found, "{query}");
    }
    bench.get("/v1/prices?product=prod_none").await.refused(400, "resource_missing", "No such product: 'prod_none'");
    let taken = bench.post(&format!("/v1/prices/{first}"), "lookup_key=gold", None).await;
    taken.refused(400, "", &format!("A price (`{price}`) already uses that lookup key."));
    let (_, events) = bench.told(bench.post(&format!("/v1/prices/{first}"), "lookup_key=gold&transfer_lookup_key=true", None)).await;
    assert_eq!(types(&events), ["price.updated", "price.updated"]);
    assert_eq!((&events[0].1, &events[1].1), (&json!({ "lookup_key": "gold" }), &json!({ "lookup_key": null })));
    let (_, events) = bench.told(bench.post(&format!("/v1/prices/{price}"), "active=false&nickname=Old", None)).await;
    assert_eq!(types(&events), ["price.updated", "plan.updated"]);
    assert_eq!(events[0].1, json!({ "active": true, "nickname": "G" }));
    bench.post(&format!("/v1/prices/{first}"), "active=false", None).await.refused(400, "", "it is the default price of its product");
    bench.sim.advance(Duration::from_secs(5));
    let (_, events) = bench.told(bench.post(&format!("/v1/products/{product}"), "name=Golden&metadata[tier]=", None)).await;
    let previous = events[0].1.as_object().expect("previous values");
    assert_eq!((types(&events), &previous["name"]), (vec!["product.updated"], &json!("Gold")));
    assert!(previous.contains_key("updated") && previous["metadata"]["tier"] == "GOLD");
    bench.delete(&format!("/v1/products/{product}")).await.refused(400, "", "it has one or more user-created prices");
    let bare = id(&bench.post("/v1/products", "name=Bare&id=bare", None).await.json());
    bench.post("/v1/products", "name=Bare&id=bare", None).await.refused(400, "resource_already_exists", "Product already exists.");
    let (gone, events) = bench.told(bench.delete(&format!("/v1/products/{bare}"))).await;
    assert_eq!((gone, types(&events)), (json!({ "id": "bare", "object": "product", "deleted": true }), vec!["product.deleted"]));
    assert!(!bench.get("/v1/products?limit=100").await.ids().contains(&bare));
    assert_eq!(bench.walk("/v1/products?limit=2").await.len(), 4);
}

#[tokio::test]
async fn a_price_with_wrong_particulars_is_refused() {
    let bench = Bench::new(5).await;
    for (form, code, sentence) in [
        ("product=prod_pro&unit_amount=1", "parameter_missing", "Missing required param: currency."),
        ("product=prod_pro&currency=xxx&unit_amount=1", "", "Invalid currency: xxx."),
        ("product=prod_pro&currency=eur", "", "Prices require an `unit_amount`"),
        ("product=prod_pro&currency=eur&unit_amount=-1", "parameter_invalid_integer", "greater than or equal to 0"),
        ("product=prod_none&currency=eur&unit_amount=1", "resource_missing", "No such product: 'prod_none'"),
        ("currency=eur&unit_amount=1", "", "You must specify either `product` or `product_data`"),
        (
            "product=prod_pro&currency=eur&unit_amount=1&recurring[interval]=hour",
            "",
            "Invalid recurring[interval]: must be one of month, year, week, or day",
        ),
        (
            "product=prod_pro&currency=eur&unit_amount=1&recurring[interval]=year&recurring[interval_count]=4",
            "parameter_invalid_integer",
            "less than or equal to 3",
        ),
    ] {
        bench.post("/v1/prices", form, None).await.refused(400, code, sentence);
    }
    bench.post("/v1/products", "description=x", None).await.refused(400, "parameter_missing", "Missing required param: name.");
    bench.post("/v1/products/prod_pro", "name=", None).await.refused(
        400,
        "parameter_invalid_empty",
        "You passed an empty string for 'name'.",
    );
}

#[tokio::test]
async fn a_payment_method_is_saved_changed_and_taken_away() {
    let bench = Bench::new(50).await;
    let customer = id(&bench.post("/v1/customers", "name=Ada", None).await.json());
    let other = id(&bench.post("/v1/customers", "name=Grace", None).await.json());
    let (made, events) = bench
        .told(bench.post(
            "/v1/payment_methods",
            "type=card&card[number]=4242424242424242&card[exp_month]=1&card[exp_year]=40&card[cvc]=123",
            None,
        ))
        .await;
    assert!(events.is_empty(), "making one is no event");
    assert_none(conform("payment_method", &made));
    assert_eq!((&made["card"]["last4"], &made["card"]["exp_year"]), (&json!("4242"), &json!(2040)));
    let (saved, events) =
        bench.told(bench.post("/v1/payment_methods/pm_card_mastercard/attach", &format!("customer={customer}"), None)).await;
    assert_eq!((types(&events), &saved["card"]["brand"]), (vec!["payment_method.attached"], &json!("mastercard")));
    let saved = id(&saved);
    assert!(saved.starts_with("pm_1"), "a new one of the shared: {saved}");
    let path = format!("/v1/payment_methods/{saved}");
    bench.post(&format!("{path}/attach"), &format!("customer={other}"), None).await.refused(
        400,
        "",
        "has already been attached to a customer",
    );
    let (_, events) = bench.told(bench.post(&path, "card[exp_month]=3&billing_details[name]=Ada", None)).await;
    assert_eq!(types(&events), ["payment_method.updated"]);
    let form = format!("invoice_settings[default_payment_method]={saved}");
    bench.post(&format!("/v1/customers/{customer}"), &form, None).await;
    assert_eq!(bench.get(&format!("/v1/payment_methods?customer={customer}&type=card")).await.ids(), [saved.as_str()]);
    let (gone, events) = bench.told(bench.post(&format!("{path}/detach"), "", None)).await;
    assert_eq!((types(&events), &gone["customer"]), (vec!["payment_method.detached", "customer.updated"], &Value::Null));
    assert_eq!(events[0].1, json!({ "customer": customer }));
    assert_eq!(bench.get(&format!("/v1/customers/{customer}")).await.json()["invoice_settings"]["default_payment_method"], Value::Null);
    assert!(bench.get(&format!("/v1/payment_methods?customer={customer}")).await.ids().is_empty());
    bench.post(&format!("{path}/detach"), "", None).await.refused(400, "", "is not attached to a customer so detachment is impossible");
    bench.post(&format!("{path}/attach"), &format!("customer={customer}"), None).await.refused(400, "", "may not be used again");
    bench.post(&path, "billing_details[name]=x", None).await.refused(400, "", "You must save this PaymentMethod to a customer");
    bench.get("/v1/payment_methods/pm_card_nothing").await.refused(404, "resource_missing", "No such PaymentMethod: 'pm_card_nothing'");
    let person = bench.paying("active");
    let own = person.plan.expect("pays").payment_method;
    let customer = person.customer.expect("pays");
    assert_eq!(bench.get(&format!("/v1/customers/{customer}/payment_methods")).await.ids(), [own.as_str()]);
    for (number, code, sentence) in [
        ("4242424242424241", "incorrect_number", "Your card number is incorrect."),
        ("4111111111111111", "card_declined", "used a non test card"),
    ] {
        let form = format!("type=card&card[number]={number}&card[exp_month]=1&card[exp_year]=2040");
        bench.post("/v1/payment_methods", &form, None).await.refused(402, code, sentence);
    }
    bench.post("/v1/payment_methods", "type=iban", None).await.refused(400, "", "takes cards only");
}

#[tokio::test]
async fn only_what_can_be_expanded_is() {
    let bench = Bench::new(60).await;
    let subscription = bench.paying("active").plan.expect("pays").subscription;
    let path = format!("/v1/subscriptions/{subscription}");
    let expand = |path: String, what: &str| {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}expand[]={what}");
        let bench = &bench;
        async move { bench.get(&path).await }
    };
    let found =
        expand(path.clone(), "latest_invoice.payments&expand[]=items.data.price.product&expand[]=default_payment_method").await.json();
    assert_eq!(found["items"]["data"][0]["price"]["product"]["object"], "product");
    assert_eq!(found["default_payment_method"]["card"]["last4"], "4242");
    assert_eq!(found["latest_invoice"]["payments"]["data"].as_array().map(Vec::len), Some(1));
    for what in ["status", "metadata", "cancellation_details", "items.data.quantity", "customer.email", "nothing"] {
        expand(path.clone(), what).await.refused(400, "", &format!("This property cannot be expanded ({what})."));
    }
    let nested = "latest_invoice.payments.data.payment.payment_intent";
    expand(path.clone(), nested).await.refused(400, "", "You cannot expand more than 4 levels of a property");
    for list in ["/v1/subscriptions", "/v1/subscriptions?status=paused"] {
        let sentence = "This property cannot be expanded (customer). You may want to try expanding 'data.customer' instead.";
        expand(list.to_string(), "customer").await.refused(400, "", sentence);
        expand(list.to_string(), "data.status").await.refused(400, "", "This property cannot be expanded (data.status).");
        assert_eq!(expand(list.to_string(), "data.customer").await.status, 200, "{list}");
    }
    let customer = expand(format!("/v1/customers/{}", bench.paying("active").customer.expect("pays")), "subscriptions").await.json();
    assert_eq!(customer["subscriptions"]["data"][0]["id"], subscription.as_str());
}
