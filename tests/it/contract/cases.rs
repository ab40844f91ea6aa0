//! One request that succeeds for every endpoint the simulator serves. An endpoint without one fails the tests.

use super::world::{BY_CARD, Served, World, id};

/// A request that is made as it stands: objects it names exist.
pub struct Case {
    pub path: String,
    pub form: String,
}

impl World {
    pub async fn case(&self, served: &Served) -> Case {
        let form = match served.name().as_str() {
            "GET /v1/customers/search" => "query=email~%22example%22".to_string(),
            "GET /v1/products/search" | "GET /v1/prices/search" => "query=active%3A%22true%22".to_string(),
            name if name.ends_with("/search") => "query=created%3E0".to_string(),
            "GET /v1/subscription_items" => format!("subscription={}", self.first("/v1/subscriptions").await),
            "GET /v1/payment_methods" => format!("customer={}&type=card", self.payer().await.0),
            "GET /v1/invoiceitems" => format!("customer={}", self.billed().await),
            name if name.starts_with("GET") => String::new(),
            _ => return self.write(served).await,
        };
        let path = match served.by_id() {
            true => served.path.replace("{id}", &self.standing(served).await),
            false => served.path.clone(),
        };
        Case { path, form }
    }

    /// Something to retrieve.
    async fn standing(&self, served: &Served) -> String {
        match served.collection() {
            "/v1/subscription_items" => id(&self.bench.get("/v1/subscriptions").await.json()["data"][0]["items"]["data"][0]),
            "/v1/customers" if served.path != "/v1/customers/{id}" => self.payer().await.0,
            "/v1/payment_methods" => self.payer().await.1,
            "/v1/invoiceitems" => self.invoice_item().await,
            "/v1/refunds" => self.refund().await,
            "/v1/disputes" => self.dispute().await,
            "/v1/privacy/redaction_jobs" => self.failed_job().await,
            "/v1/balance_transactions" => {
                self.paid("pm_card_visa").await;
                self.first("/v1/balance_transactions").await
            }
            collection => self.first(collection).await,
        }
    }

    async fn write(&self, served: &Served) -> Case {
        let (at, form) = match served.name().as_str() {
            "POST /v1/customers" => (String::new(), "name=Ada&email=ada%40example.com&metadata[a]=b".to_string()),
            "POST /v1/customers/{id}" => (self.customer().await, "name=Grace&metadata[a]=".into()),
            "DELETE /v1/customers/{id}" => (self.customer().await, String::new()),
            "POST /v1/products" => (String::new(), "name=Archive&description=Old+things".into()),
            "POST /v1/products/{id}" => (self.product().await, "name=Library".into()),
            "DELETE /v1/products/{id}" => (self.product().await, String::new()),
            "POST /v1/prices" => {
                (String::new(), format!("product={}&currency=eur&unit_amount=700&recurring[interval]=month", self.product().await))
            }
            "POST /v1/prices/{id}" => (self.price().await, "nickname=Cheap&active=false".into()),
            "POST /v1/payment_methods" => (String::new(), "type=card&card[token]=tok_visa".into()),
            "POST /v1/payment_methods/{id}" => (self.payer().await.1, "metadata[a]=b".into()),
            "POST /v1/payment_methods/{id}/attach" => ("pm_card_visa".into(), format!("customer={}", self.customer().await)),
            "POST /v1/payment_methods/{id}/detach" => (self.payer().await.1, String::new()),
            "POST /v1/checkout/sessions" => (
                String::new(),
                format!(
                    "mode=subscription&line_items[0][price]={}&line_items[0][quantity]=1&success_url=https%3A%2F%2Fexample.com%2Fdone&client_reference_id=7",
                    self.price().await
                ),
            ),
            "POST /v1/checkout/sessions/{id}" => (self.session().await, "metadata[a]=b".into()),
            "POST /v1/checkout/sessions/{id}/expire" => (self.session().await, String::new()),
            "POST /v1/subscriptions" => {
                let ((customer, method), price) = (self.payer().await, self.price().await);
                (String::new(), format!("customer={customer}&items[0][price]={price}&default_payment_method={method}"))
            }
            "POST /v1/subscriptions/{id}" => (self.subscription().await, "cancel_at_period_end=true&metadata[a]=b".into()),
            "DELETE /v1/subscriptions/{id}" => (self.subscription().await, "invoice_now=false&prorate=false".into()),
            "POST /v1/subscriptions/{id}/resume" => {
                let subscription = self.subscription().await;
                self.bench.sim.set_status(&subscription, "paused", chrono::Utc::now()).expect("it was active");
                (subscription, "billing_cycle_anchor[type]=now".into())
            }
            "POST /v1/subscriptions/{id}/pause" => (self.subscription().await, "type=subscription".into()),
            "POST /v1/subscription_items" => {
                (String::new(), format!("subscription={}&price={}", self.subscription().await, self.price().await))
            }
            "POST /v1/subscription_items/{id}" => (self.item().await.0, "quantity=2".into()),
            "DELETE /v1/subscription_items/{id}" => (self.item().await.1, String::new()),
            "POST /v1/invoices" => (String::new(), format!("customer={}", self.customer().await)),
            "POST /v1/invoices/{id}" => (self.draft().await, "description=Thanks".into()),
            "DELETE /v1/invoices/{id}" | "POST /v1/invoices/{id}/finalize" => (self.draft().await, String::new()),
            "POST /v1/invoices/{id}/pay" => (self.open_invoice().await, "payment_method=pm_card_visa".into()),
            "POST /v1/invoices/{id}/send" => {
                let draft = self.draft().await;
                self.make(&format!("/v1/invoices/{draft}"), "collection_method=send_invoice&days_until_due=14").await;
                (draft, String::new())
            }
            "POST /v1/invoiceitems" => (String::new(), format!("customer={}&amount=500&currency=eur", self.customer().await)),
            "POST /v1/invoiceitems/{id}" => (self.invoice_item().await, "amount=700&description=More".into()),
            "DELETE /v1/invoiceitems/{id}" => (self.invoice_item().await, String::new()),
            "POST /v1/invoices/{id}/void" | "POST /v1/invoices/{id}/mark_uncollectible" => (self.open_invoice().await, String::new()),
            "POST /v1/payment_intents" => {
                (String::new(), format!("amount=1500&currency=eur&payment_method=pm_card_visa&confirm=true&{BY_CARD}"))
            }
            "POST /v1/payment_intents/{id}" => (id(&self.intent("pm_card_visa", "").await), "description=Seats".into()),
            "POST /v1/payment_intents/{id}/confirm" => (id(&self.intent("pm_card_visa", "").await), "payment_method=pm_card_visa".into()),
            "POST /v1/payment_intents/{id}/cancel" => (id(&self.intent("pm_card_visa", "").await), "cancellation_reason=abandoned".into()),
            "POST /v1/payment_intents/{id}/capture" => {
                (id(&self.intent("pm_card_visa", "&capture_method=manual&confirm=true").await), String::new())
            }
            "POST /v1/charges/{id}" => (self.charge().await, "description=Seats".into()),
            "POST /v1/refunds" => {
                (String::new(), format!("payment_intent={}&reason=requested_by_customer", id(&self.paid("pm_card_visa").await)))
            }
            "POST /v1/refunds/{id}" => (self.refund().await, "metadata[a]=b".into()),
            "POST /v1/disputes/{id}" => (self.dispute().await, "evidence[uncategorized_text]=They+paid.&submit=false".into()),
            "POST /v1/disputes/{id}/close" => (self.dispute().await, String::new()),
            "POST /v1/webhook_endpoints" => (String::new(), "url=http%3A%2F%2F127.0.0.1%3A9%2Fhook&enabled_events[]=invoice.paid".into()),
            "POST /v1/webhook_endpoints/{id}" => (self.endpoint().await, "disabled=true".into()),
            "DELETE /v1/webhook_endpoints/{id}" => (self.endpoint().await, String::new()),
            "POST /v1/events/{id}/retry" => {
                let endpoint = self.endpoint().await;
                self.customer().await;
                (self.first("/v1/events?type=customer.created").await, format!("webhook_endpoint={endpoint}"))
            }
            "POST /v1/privacy/redaction_jobs" => (String::new(), format!("objects[customers][]={}", self.customer().await)),
            "POST /v1/privacy/redaction_jobs/{id}" => (self.redaction_job(&self.customer().await).await, "validation_behavior=fix".into()),
            "POST /v1/privacy/redaction_jobs/{id}/validate" => (self.failed_job().await, String::new()),
            "POST /v1/privacy/redaction_jobs/{id}/run" | "POST /v1/privacy/redaction_jobs/{id}/cancel" => {
                (self.redaction_job(&self.customer().await).await, String::new())
            }
            "POST /v1/refunds/{id}/cancel" => {
                let intent = id(&self.paid("pm_card_pendingRefund").await);
                let refund = self.make_id("/v1/refunds", &format!("payment_intent={intent}")).await;
                assert!(self.bench.sim.ask_customer_about_refund(&refund, chrono::Utc::now()), "it waits for the customer");
                (refund, String::new())
            }
            other => panic!("{other} is served, and the contract tests have no case for it"),
        };
        Case { path: served.path.replace("{id}", &at), form }
    }

    /// Two items of one subscription.
    async fn item(&self) -> (String, String) {
        let subscription = self.subscription().await;
        let second = self.make_id("/v1/subscription_items", &format!("subscription={subscription}&price={}", self.price().await)).await;
        (self.first(&format!("/v1/subscription_items?subscription={subscription}&ending_before={second}")).await, second)
    }

    async fn charge(&self) -> String {
        self.paid("pm_card_visa").await["latest_charge"].as_str().expect("a payment has a charge").to_string()
    }
}
