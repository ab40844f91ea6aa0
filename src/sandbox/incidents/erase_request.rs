//! Incident `erase-request`: people ask for the deletion of every row that names them here, and of their customer at Stripe; payments stay.

use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use sqlx::AssertSqlSafe;

use super::check::seconds;
use super::ground::Turn;
use super::people::outlasts;
use super::requests::sender;
use super::settled::Erased;
use super::{Cause, Check, Ground, Incident, IncidentError, Label, Spec, Subject};
use crate::sandbox::population::{Billing, Person};

pub const SPEC: Spec = Spec {
    name: "erase-request",
    title: "people want their rows here and their customer at Stripe deleted",
    background: 0,
    usual: 2,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: None,
};

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let paying = |billing| matches!(billing, Billing::Paid(c) if c.status == "active" && outlasts(c, turn.present));
    let linked = |billing| billing == Billing::Free;
    // The first of them pays, so that there is a subscription to end; every other one.
    let people = ground.pick_each(Incident::EraseRequest, &[(turn.count.div_ceil(2), &paying), (turn.count / 2, &linked)])?;
    let mut labels = Vec::with_capacity(turn.count);
    for (index, number) in people.into_iter().flatten().enumerate() {
        labels.push(one(ground, number, turn, index).await?);
    }
    Ok(labels)
}

async fn one(ground: &Ground, number: u64, turn: Turn, index: usize) -> Result<Label, IncidentError> {
    let person = ground.population().person(number);
    let profile = ground.key(number);
    let at = turn.present - Duration::minutes(40 + 13 * i64::try_from(index % 12).expect("invariant: below twelve"));
    leave_copies(ground, &person, &profile, at).await?;
    let ending = if person.plan.is_some() { " My subscription can end at once; I do not want any money back." } else { "" };
    let text = format!(
        "To whom it may concern,\n\nunder article 17 of the GDPR I ask you to delete every record in your database that names me, and my \
         customer at your payment provider. What the law makes you keep of my payments there may stay. My account is {profile}, my \
         address the one I write from.{ending} Please confirm when it is done.\n\n{}",
        person.name
    );
    ground.ask(Incident::EraseRequest, at, sender(&person), "Delete my data", text);
    let customer = person.customer.clone().expect("invariant: only people whom Stripe knows suit");
    Ok(Label {
        incident: Incident::EraseRequest,
        broke: "asked for the deletion of every row that names them, and of the customer at Stripe".into(),
        at,
        cause: Cause::AskedFor,
        truth: None,
        check: Check::Erased(Erased { profile: profile.clone(), email: person.email, name: person.name, customer: customer.clone() }),
        subject: Subject { number: Some(number), profile: Some(profile), customer: Some(customer), ..Subject::default() },
    })
}

/// They had asked for a copy of their data first: where no foreign key reaches, there are copies now, as text and in documents.
async fn leave_copies(ground: &Ground, person: &Person, profile: &str, at: DateTime<Utc>) -> Result<(), IncidentError> {
    let shape = ground.shape();
    let copy = json!({ "id": profile, "profile": { "name": person.name, "email": person.email } });
    let sql = format!("INSERT INTO profile_archive (profile, copy, archived_at) VALUES ($1, $2, {})", shape.time("$3"));
    sqlx::query(AssertSqlSafe(sql)).bind(profile).bind(copy).bind(seconds(at)).execute(ground.pool()).await?;
    let payload = json!({ "template": "data_export", "to": person.email, "profileId": profile });
    let sql = format!("INSERT INTO email_outbox (payload, sent_at) VALUES ($1, {})", shape.time("$2"));
    sqlx::query(AssertSqlSafe(sql)).bind(payload).bind(seconds(at)).execute(ground.pool()).await?;
    Ok(())
}
