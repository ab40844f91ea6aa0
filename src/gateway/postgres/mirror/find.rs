//! The search in the mirror, for when Stripe itself is silent: ids, addresses and names of customers, all bounded.

use super::copies::documents;
use super::tables::{self, Table};
use crate::domain::facts::Handle;
use crate::domain::fault::Source;
use crate::domain::ids::StripeKind;
use crate::domain::mirror::Mirror;
use crate::domain::needle::Needle;
use crate::domain::stripe::{Customer, named_profile};
use crate::gateway::postgres::connect::Session;
use crate::gateway::postgres::fault::Trouble;
use crate::gateway::postgres::names::like;
use crate::gateway::stripe::decode;
use crate::protocol::query::{Hit, Reply};

/// One way to look: a condition with its value, how good its hits are, and by which field a large table would be read for it.
struct Look {
    condition: String,
    value: String,
    rank: u8,
    by: &'static str,
}

/// The hits for a needle, best first; none where there is no mirror of customers.
pub async fn find(session: &mut Session, needle: &Needle, limit: u32) -> Result<Reply, Trouble> {
    let mut hits: Vec<Hit> = Vec::new();
    let tables = tables::of(session).await?;
    let Some(table) = tables.customers.as_ref().ok().filter(|t| t.lacks.is_empty()) else { return Ok(none()) };
    if needle.text().contains('\0') {
        return Ok(none());
    }
    let limit = limit as usize;
    let mut read = 0;
    for look in looks(table, needle).into_iter().filter(|l| table.is_too_large_for(l.by).is_none()) {
        let found = documents(session, table, &look.condition, &[look.value], limit).await?;
        read = read.max(found.len());
        for customer in found.iter().filter_map(|(document, _)| decode::customer(document)) {
            if !hits.iter().any(|h| h.customer.as_deref() == Some(customer.id.as_str())) {
                hits.push(hit(customer, look.rank));
            }
        }
    }
    if let (Needle::Stripe(id), Ok(table)) = (needle, &tables.subscriptions)
        && id.kind() == StripeKind::Subscription
        && table.lacks.is_empty()
    {
        let condition = format!("{} = ANY ($1::text[])", table.field("id"));
        let found = documents(session, table, &condition, &[id.to_string()], 1).await?;
        hits.extend(found.iter().filter_map(|(document, _)| decode::subscription(document)).map(|s| Hit {
            source: Source::Stripe,
            handle: Handle::Stripe(id.clone()),
            name: None,
            email: None,
            subject: named_profile(&s.metadata),
            customer: Some(s.customer.to_string()),
            note: String::new(),
            rank: 0,
        }));
    }
    if hits.is_empty() {
        return Ok(none());
    }
    let mirror = Mirror { newest: tables.newest(session).await?, notes: Vec::new() };
    let truncated = hits.len() > limit || read >= limit;
    hits.sort_by_key(|h| h.rank);
    hits.truncate(limit);
    Ok(Reply::MirrorHits { hits, truncated, mirror })
}

fn none() -> Reply {
    Reply::MirrorHits { hits: Vec::new(), truncated: false, mirror: Mirror::default() }
}

fn looks(table: &Table, needle: &Needle) -> Vec<Look> {
    let (id, email, name) = (table.field("id"), table.field("email"), table.field("name"));
    let look = |condition: String, value: String, rank, by| Look { condition, value, rank, by };
    match needle {
        Needle::Stripe(text) if text.kind() == StripeKind::Customer => {
            vec![look(format!("{id} = ANY ($1::text[])"), text.to_string(), 0, "id")]
        }
        Needle::StripePrefix { kind: StripeKind::Customer, text } => {
            // Written as a pattern an index on the id serves only in some collations: a large table is left alone.
            vec![look(format!("{id} LIKE ANY ($1::text[])"), format!("{}%", like(text)), 1, "")]
        }
        Needle::Email(address) => vec![look(format!("lower({email}) = ANY ($1::text[])"), address.to_lowercase(), 0, "")],
        Needle::Words(words) if words.chars().count() >= 3 => {
            let words = like(&words.to_lowercase());
            let both = |pattern: &str| format!("(lower({name}) LIKE ANY ({pattern}) OR lower({email}) LIKE ANY ({pattern}))");
            vec![look(both("$1::text[]"), format!("{words}%"), 1, ""), look(both("$1::text[]"), format!("%{words}%"), 2, "")]
        }
        _ => Vec::new(),
    }
}

fn hit(customer: Customer, rank: u8) -> Hit {
    Hit {
        source: Source::Stripe,
        handle: Handle::Stripe(customer.id.clone()),
        subject: named_profile(&customer.metadata),
        customer: Some(customer.id.to_string()),
        name: customer.name,
        email: customer.email,
        note: String::new(),
        rank,
    }
}
