//! The reading of a case and its judgement, walked through a simulated world: every handle, every way a source can fail.

use crate::fixtures::*;
use chrono::Duration;
use nightdesk::domain::diagnosis::{Cause, Class, Moment, Word, diagnose};
use nightdesk::domain::expected::{NoExpectation, expected};
use nightdesk::domain::facts::{Handle, Known};
use nightdesk::domain::fault::Source;
use nightdesk::domain::link::{LinkedBy, disowned, preselected};
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::shape::Trust;
use nightdesk::domain::stripe::{Interval, Period, Status};
use nightdesk::domain::tiers::TierRules;
use nightdesk::protocol::answers::{Answers, assemble, next_reads};
use nightdesk::protocol::query::{Locator, Query};

fn every_handle() -> Vec<Handle> {
    let mut all = vec![by_customer(), by_profile(), by_email(), Handle::Placeholder(PLACEHOLDER.into())];
    all.extend([SUBSCRIPTION, "in_1Pabcdefgh3c", "cs_test_a1b2c3d4e5"].map(|i| Handle::Stripe(id(i))));
    all
}

#[test]
fn a_placeholder_is_found_from_every_handle_in_few_rounds() {
    let world = World::placeholder();
    for handle in every_handle() {
        let read = world.read(&handle, None);
        let d = diagnose(&read.case, &TierRules::default(), now());
        assert!(read.rounds <= 5, "{handle:?} took {} rounds", read.rounds);
        assert!(read.first_round_stripe <= 6 && read.most_stripe_at_once <= 6 && read.stripe_calls <= 8, "{handle:?}: {read:#?}");
        assert_eq!((d.word, d.class, d.cause), (Word::Fail, Class::PaidNotServed, Cause::Placeholder), "{handle:?}: {d:?}");
        assert_eq!(d.sentence, "Paid in Stripe, FREE in the app since 02:44Z");
        assert_eq!(d.reason.as_deref(), Some("The row holds cus_temp_ab12, so the webhook found nobody to change."));
        assert_eq!(d.fix.map(|f| f.say).as_deref(), Some("Link, then copy five fields from Stripe"), "{handle:?}");
        assert_eq!(read.case.record().map(|r| &r.subject.key), Some(&key(PROFILE)), "{handle:?}");
        assert_eq!(read.case.entitlement.value().and_then(Option::as_ref).map(|e| e.tier.as_str()), Some("FREE"));
    }
}

#[test]
fn whom_a_checkout_names_may_be_chosen_without_asking_and_an_address_may_not() {
    let mut world = World::placeholder();
    let certain = world.read(&by_customer(), None).case;
    assert_eq!(preselected(&certain.links, &id(CUSTOMER)).map(|l| l.by), Some(LinkedBy::CheckoutSession));
    world.sessions.clear();
    let weak = world.read(&by_customer(), None).case;
    assert_eq!(weak.links.first().map(|l| l.by), Some(LinkedBy::Email));
    assert_eq!(preselected(&weak.links, &id(CUSTOMER)), None);
    assert_eq!(weak.record.value(), Some(&None), "an address alone chooses nobody");
    let d = diagnose(&weak, &TierRules::default(), now());
    assert_eq!((d.word, d.class, d.cause), (Word::Fail, Class::Unlinked, Cause::NoProfile));
    assert!(d.fix.is_some(), "the review lets the operator choose");
    let chosen = world.read(&by_customer(), Some(&key(PROFILE)));
    assert_eq!(chosen.case.record().map(|r| &r.subject.key), Some(&key(PROFILE)));
}

#[test]
fn two_checkouts_that_name_two_profiles_choose_nobody() {
    let mut world = World::placeholder();
    world.records.push(record(OTHER, None, Some(free_row(OTHER, "cus_temp_zz99"))));
    world.sessions.push(session("cs_test_other12345", &world.subscriptions[0], OTHER));
    let case = world.read(&by_customer(), None).case;
    assert_eq!(case.record.value(), Some(&None));
    assert_eq!(diagnose(&case, &TierRules::default(), now()).class, Class::Unlinked);
}

#[test]
fn a_healthy_customer_is_fine_from_every_handle() {
    let world = World::healthy();
    for handle in every_handle().into_iter().filter(|h| !matches!(h, Handle::Placeholder(_))) {
        let d = world.diagnose(&handle);
        assert_eq!((d.word, d.class), (Word::Ok, Class::Fine), "{handle:?}: {d:?}");
        assert_eq!(d.sentence, "PRO until 22 Dec 2026, active");
    }
    assert_eq!(world.diagnose(&Handle::Placeholder(PLACEHOLDER.into())).class, Class::NotFound);
}

#[test]
fn a_linked_row_that_stayed_as_before_missed_its_webhook() {
    let mut world = World::placeholder();
    world.records[0].row = Some(free_row(PROFILE, CUSTOMER));
    for handle in every_handle().into_iter().filter(|h| !matches!(h, Handle::Placeholder(_))) {
        let d = world.diagnose(&handle);
        assert_eq!((d.word, d.class, d.cause), (Word::Fail, Class::PaidNotServed, Cause::Unapplied), "{handle:?}");
        assert_eq!(d.fix.map(|f| f.say).as_deref(), Some("Copy five fields from Stripe"));
    }
}

#[test]
fn a_row_with_another_customers_id_is_told_from_its_own() {
    // The row of PROFILE holds the id of a customer whose checkout names OTHER.
    let mut world = World::placeholder();
    let stranger = subscription("sub_Stranger1234", "cus_Stranger1234");
    world.customers.push(customer("cus_Stranger1234", Some("someone@else.org")));
    world.sessions.push(session("cs_test_stranger123", &stranger, OTHER));
    world.subscriptions.push(stranger);
    world.records[0].row = Some(free_row(PROFILE, "cus_Stranger1234"));
    world.records.push(record(OTHER, Some("someone@else.org"), Some(free_row(OTHER, "cus_temp_other1"))));
    let case = world.read(&by_profile(), None).case;
    assert!(case.others.contains(&id("cus_Stranger1234")));
    assert_eq!(case.customer.value().and_then(Option::as_ref).map(|c| c.id.as_str()), Some(CUSTOMER));
    let d = diagnose(&case, &TierRules::default(), now());
    assert_eq!((d.class, d.cause), (Class::PaidNotServed, Cause::OtherCustomer), "{d:?}");
    // The stranger's own customer: the checkout names one profile, another one's row holds it. Nobody is chosen for the operator.
    let theirs = world.read(&Handle::Stripe(id("cus_Stranger1234")), None).case;
    assert_eq!(theirs.record.value(), Some(&None), "{theirs:#?}");
    // Without a customer of their own there is nothing to copy, and nothing is offered.
    world.customers.remove(0);
    let d = world.diagnose(&by_profile());
    assert_eq!((d.word, d.class, d.fix), (Word::Warn, Class::Unlinked, None));
}

#[test]
fn two_stripe_customers_with_one_address_and_the_live_one_is_named() {
    let mut world = World::placeholder();
    let mut old = subscription("sub_Old123456789", "cus_Old123456789");
    old.status = Status::Canceled;
    old.created = ago(60 * 24 * 90);
    world.customers.insert(0, customer("cus_Old123456789", Some("JANE.DOE@acme.com")));
    world.subscriptions.push(old);
    for handle in [by_profile(), by_email(), by_customer()] {
        let read = world.read(&handle, None);
        assert_eq!(read.case.customers.len(), 2, "{handle:?}");
        assert_eq!(read.case.customer.value().and_then(Option::as_ref).map(|c| c.id.as_str()), Some(CUSTOMER), "{handle:?}");
        assert_eq!(diagnose(&read.case, &TierRules::default(), now()).class, Class::PaidNotServed, "{handle:?}");
        assert!(read.most_stripe_at_once <= 6);
    }
}

#[test]
fn the_old_customer_of_a_served_profile_does_not_ask_for_a_downgrade() {
    // Pasted is the old, ended customer; the row has long moved on to the live one.
    let mut world = World::healthy();
    let mut old = subscription("sub_Old123456789", "cus_Old123456789");
    old.status = Status::Canceled;
    old.created = ago(60 * 24 * 90);
    world.customers.push(customer("cus_Old123456789", Some("jane.doe@acme.com")));
    world.sessions.push(session("cs_test_old1234567", &old, PROFILE));
    world.subscriptions.push(old);
    let d = world.diagnose(&Handle::Stripe(id("cus_Old123456789")));
    assert_eq!((d.word, d.class), (Word::Ok, Class::Fine), "{d:?}");
}

#[test]
fn somebody_else_with_the_same_address_does_not_make_one_pay_for_two() {
    let mut world = World::healthy();
    world.records.push(record(OTHER, Some("jane.doe@acme.com"), Some(free_row(OTHER, "cus_temp_second1"))));
    world.sessions.clear();
    // Only the row of PROFILE says whose customer it is.
    let d = world.diagnose(&Handle::Subject(key(OTHER)));
    assert_eq!((d.word, d.class), (Word::Ok, Class::Fine), "{d:?}");
    assert_eq!(d.sentence, "On FREE, and Stripe has no subscription");
    assert_eq!(world.diagnose(&by_profile()).class, Class::Fine);
}

#[test]
fn several_live_subscriptions_are_the_operators_choice_and_an_abandoned_checkout_is_none() {
    let mut world = World::healthy();
    let mut second = subscription("sub_Second123456", CUSTOMER);
    second.status = Status::Incomplete;
    world.subscriptions.push(second.clone());
    assert_eq!(world.diagnose(&by_profile()).class, Class::Fine);
    world.subscriptions[1].status = Status::Active;
    let d = world.diagnose(&by_profile());
    assert_eq!((d.word, d.class), (Word::Warn, Class::SeveralLive));
    assert!(d.fix.is_some());
}

#[test]
fn two_items_of_one_tier_are_fine_and_of_two_tiers_are_a_decision() {
    let (rules, shape) = (TierRules::default(), shape());
    let mut s = subscription(SUBSCRIPTION, CUSTOMER);
    s.items.push(item("si_2", price("price_addon", None), ago(28)));
    assert_eq!(expected(&s, &rules, &shape, None).map(|e| e.tier).as_deref(), Ok("PRO"), "the one whose price maps");
    s.items[1].price = price("price_pro_seat", Some("pro"));
    assert_eq!(expected(&s, &rules, &shape, None).map(|e| e.tier).as_deref(), Ok("PRO"));
    s.items[1].price = price("price_ent_month", Some("ENTERPRISE"));
    s.items[1].period = Some(Period { start: ago(10), end: now() + Duration::days(9) });
    assert_eq!(expected(&s, &rules, &shape, None), Err(NoExpectation::TwoTiers(vec!["PRO".into(), "ENTERPRISE".into()])));
    let chosen = expected(&s, &rules, &shape, Some("ENTERPRISE")).expect("chosen");
    assert_eq!(chosen.tier, "ENTERPRISE");
    assert_eq!(chosen.image[&Field::PeriodEnd], Value::Time(now() + Duration::days(9)), "the period is the chosen item's");
    let mut world = World::placeholder();
    world.subscriptions[0] = s;
    let d = world.diagnose(&by_profile());
    assert_eq!((d.word, d.class), (Word::Warn, Class::NoPlan));
    assert!(d.fix.is_some(), "the review asks which item counts");
}

#[test]
fn an_unmapped_price_is_named_and_offers_nothing() {
    let mut world = World::placeholder();
    world.subscriptions[0].items[0].price = price("price_legacy_gold", None);
    let d = world.diagnose(&by_customer());
    assert_eq!((d.word, d.class, d.fix), (Word::Warn, Class::NoPlan, None));
    assert!(d.reason.is_some_and(|r| r.contains("price_legacy_gold")));
    // What entitles to nothing needs no price.
    world.subscriptions[0].status = Status::Unpaid;
    let free = expected(&world.subscriptions[0], &TierRules::default(), &shape(), None).expect("free");
    assert_eq!(free.tier, "FREE");
}

#[test]
fn a_profile_without_subscriptions_is_judged_by_what_it_is_served() {
    let mut world = World::placeholder();
    (world.customers, world.subscriptions, world.sessions, world.invoices) = (vec![], vec![], vec![], vec![]);
    let d = world.diagnose(&by_profile());
    assert_eq!((d.word, d.sentence.as_str()), (Word::Ok, "On FREE, and Stripe has no subscription"));
    world.records[0].row.as_mut().expect("a row").image.insert(Field::Tier, Value::text("PRO"));
    let d = world.diagnose(&by_profile());
    assert_eq!((d.word, d.class, d.fix), (Word::Fail, Class::ServedNotPaid, None));
    world.records[0].row = None;
    let d = world.diagnose(&by_profile());
    assert_eq!((d.word, d.class), (Word::Warn, Class::NoPlan));
}

#[test]
fn with_stripe_down_the_databases_part_is_there_and_nothing_is_claimed() {
    let mut world = World::placeholder();
    world.down = vec![Source::Stripe];
    for handle in [by_profile(), by_email(), Handle::Placeholder(PLACEHOLDER.into())] {
        let read = world.read(&handle, None);
        assert!(read.case.record().is_some(), "{handle:?}");
        assert!(read.case.entitlement.value().is_some(), "{handle:?}");
        let d = diagnose(&read.case, &TierRules::default(), now());
        assert_eq!((d.word, d.fix), (Word::Unknown, None), "{handle:?}");
        assert_eq!(d.sentence, "Cannot tell: Stripe did not answer");
    }
    world.records[0].row = Some(right_row(PROFILE, &world.subscriptions[0]));
    for handle in [by_customer(), Handle::Stripe(id(SUBSCRIPTION))] {
        assert!(world.read(&handle, None).case.record().is_some(), "the row knows {handle:?}");
    }
}

#[test]
fn with_the_database_down_stripes_part_is_there_and_nothing_is_claimed() {
    let mut world = World::placeholder();
    world.down = vec![Source::Database];
    for handle in [by_customer(), Handle::Stripe(id(SUBSCRIPTION))] {
        let case = world.read(&handle, None).case;
        assert_eq!(case.subscriptions.value().map(Vec::len), Some(1), "{handle:?}");
        assert_eq!(case.invoices.value().map(Vec::len), Some(1), "{handle:?}");
        assert!(case.customer.value().is_some_and(Option::is_some));
        assert!(case.record.fault().is_some());
        let d = diagnose(&case, &TierRules::default(), now());
        assert_eq!((d.word, d.fix), (Word::Unknown, None), "{handle:?}");
    }
}

#[test]
fn with_the_application_down_the_verdict_still_stands() {
    let mut world = World::placeholder();
    world.down = vec![Source::Application];
    let case = world.read(&by_customer(), None).case;
    assert!(case.entitlement.fault().is_some());
    assert_eq!(diagnose(&case, &TierRules::default(), now()).class, Class::PaidNotServed);
}

#[test]
fn where_rows_may_be_hidden_or_late_nothing_is_missing() {
    let reason = "row-level security is active for our role".to_string();
    let mut world = World::placeholder();
    world.shape.trust = Trust::Limited(vec![reason.clone()]);
    let differs = world.diagnose(&by_profile());
    world.records[0].row = None;
    let no_row = world.diagnose(&by_profile());
    let mut served = World::healthy();
    (served.customers, served.subscriptions, served.sessions, served.invoices) = (vec![], vec![], vec![], vec![]);
    served.shape.trust = world.shape.trust.clone();
    let unpaid = served.diagnose(&by_profile());
    world.records.clear();
    for d in [differs, no_row, unpaid, world.diagnose(&by_customer()), world.diagnose(&by_profile()), world.diagnose(&by_email())] {
        assert_eq!((d.word, d.class, &d.fix), (Word::Unknown, Class::Undecided, &None), "{d:?}");
        assert_eq!(d.reason.as_ref(), Some(&reason));
    }
    let mut right = World::healthy();
    right.shape.trust = Trust::Limited(vec![reason]);
    assert_eq!(right.diagnose(&by_profile()).word, Word::Ok, "what is seen and right is right");
}

#[test]
fn objects_of_old_api_versions_carry_the_period_themselves() {
    let mut world = World::placeholder();
    let s = &mut world.subscriptions[0];
    let period = s.items[0].period.take();
    s.period = period;
    let d = world.diagnose(&by_customer());
    assert_eq!(d.fix.map(|f| f.say).as_deref(), Some("Link, then copy five fields from Stripe"));
    let demanded = expected(&world.subscriptions[0], &TierRules::default(), &shape(), None).expect("a demand");
    assert_eq!(demanded.image[&Field::PeriodStart], Value::Time(ago(28)));
}

#[test]
fn an_ended_subscription_demands_free_and_keeps_the_last_period() {
    let mut world = World::healthy();
    let s = &mut world.subscriptions[0];
    (s.status, s.canceled_at, s.ended_at) = (Status::Canceled, Some(ago(20)), Some(ago(20)));
    let demanded = expected(s, &TierRules::default(), &shape(), None).expect("a demand");
    assert!(!demanded.image.contains_key(&Field::PeriodEnd) && !demanded.image.contains_key(&Field::Interval));
    let d = world.diagnose(&by_profile());
    assert_eq!((d.word, d.class, d.cause), (Word::Fail, Class::ServedNotPaid, Cause::Unapplied));
    assert_eq!(d.sentence, "Served PRO, and Stripe's canceled subscription buys FREE");
    assert_eq!(d.fix.map(|f| f.say).as_deref(), Some("Copy two fields from Stripe"));
    world.records[0].row = Some(right_row(PROFILE, &world.subscriptions[0]));
    world.enforce(PROFILE, "FREE", 5);
    assert_eq!(world.diagnose(&by_profile()).sentence, "FREE, the subscription has ended");
}

#[test]
fn what_changed_within_the_minute_settles_and_never_alarms() {
    let mut world = World::placeholder();
    let s = &mut world.subscriptions[0];
    (s.created, s.items[0].period) = (now() - Duration::seconds(20), None);
    world.invoices.clear();
    for row in [free_row(PROFILE, PLACEHOLDER), free_row(PROFILE, CUSTOMER)] {
        world.records[0].row = Some(row);
        assert_eq!(world.diagnose(&by_customer()).word, Word::Settling);
    }
    let mut ended = World::healthy();
    let s = &mut ended.subscriptions[0];
    (s.status, s.ended_at) = (Status::Canceled, Some(now() - Duration::seconds(59)));
    assert_eq!(ended.diagnose(&by_profile()).word, Word::Settling);
    ended.subscriptions[0].ended_at = Some(now() - Duration::seconds(60));
    assert_eq!(ended.diagnose(&by_profile()).word, Word::Fail);
    let case = ended.read(&by_profile(), None).case;
    let slow = Moment { now: now(), allowance: Duration::seconds(300) };
    let d = diagnose(&case, &TierRules::default(), slow);
    assert_eq!(d.word, Word::Settling, "effects were seen to take longer");
    assert!(d.reason.is_some_and(|r| r.contains("it is given 5 min")));
}

#[test]
fn nothing_is_called_paid_before_the_invoice_says_so() {
    let mut world = World::placeholder();
    world.invoices[0].status = "open".into();
    assert!(world.diagnose(&by_customer()).sentence.starts_with("Active in Stripe, last invoice not paid"));
    let query = Query::InvoicesOf(id(CUSTOMER));
    let mut answers = world.read(&by_customer(), None).answers;
    let timeout = nightdesk::domain::fault::Fault::new(Source::Stripe, nightdesk::domain::fault::FaultKind::Timeout, "late");
    answers.put(query, Err(timeout), now());
    let case = assemble(&by_customer(), None, &answers);
    assert!(diagnose(&case, &TierRules::default(), now()).sentence.starts_with("Active in Stripe, FREE in the app"));
}

#[test]
fn a_price_the_column_has_no_word_for_is_left_alone_or_refused() {
    let mut s = subscription(SUBSCRIPTION, CUSTOMER);
    s.items[0].price.interval_count = 3;
    let quarterly = expected(&s, &TierRules::default(), &shape(), None).expect("a demand");
    assert!(!quarterly.image.contains_key(&Field::Interval));
    assert_eq!(quarterly.left_alone, ["interval: Stripe bills every 3 months"]);
    (s.items[0].price.interval_count, s.items[0].price.interval) = (1, Some(Interval::Week));
    assert!(matches!(expected(&s, &TierRules::default(), &shape(), None), Err(NoExpectation::IntervalOutsideWords(_))));
    let mut words = shape();
    words.interval.month = Some("monthly".into());
    words.status_words = Some(["active".to_string()].into());
    (s.items[0].price.interval, s.status) = (Some(Interval::Month), Status::PastDue);
    let e = expected(&s, &TierRules::default(), &words, None).expect("a demand");
    assert_eq!(e.image[&Field::Interval], Value::text("monthly"));
    assert!(!e.image.contains_key(&Field::Status) && e.tier == "PRO", "{e:?}");
}

#[test]
fn parts_are_in_the_case_as_they_arrive() {
    let world = World::placeholder();
    let handle = by_customer();
    let mut answers = Answers::default();
    for query in next_reads(&handle, None, &answers) {
        answers.asked(query);
    }
    assert!(next_reads(&handle, None, &answers).is_empty(), "what is asked is not asked again");
    let case = assemble(&handle, None, &answers);
    assert!(case.customer.is_waiting() && case.record.is_waiting());
    assert_eq!(diagnose(&case, &TierRules::default(), now()).word, Word::Reading);
    let query = Query::Customer(id(CUSTOMER));
    answers.put(query.clone(), world.answer(&query), now());
    let case = assemble(&handle, None, &answers);
    assert_eq!(case.customer.at(), Some(now()), "the customer is there while the database is silent");
    let query = Query::Records(Locator::CustomerId(CUSTOMER.into()));
    answers.put(query.clone(), world.answer(&query), now());
    let case = assemble(&handle, None, &answers);
    assert!(case.record.is_waiting(), "nobody holds the id, and Stripe may still name somebody");
}

#[test]
fn the_order_of_arrival_makes_no_difference() {
    for world in [World::placeholder(), World::healthy()] {
        for handle in every_handle() {
            let all_at_once = world.read(&handle, None).case;
            for newest_first in [false, true] {
                let mut answers = Answers::default();
                loop {
                    for query in next_reads(&handle, None, &answers) {
                        answers.asked(query);
                    }
                    let waiting: Vec<Query> = answers.outstanding().cloned().collect();
                    let Some(query) = (if newest_first { waiting.last() } else { waiting.first() }).cloned() else { break };
                    let result = world.answer(&query);
                    answers.put(query, result, now());
                }
                assert_eq!(assemble(&handle, None, &answers), all_at_once, "{handle:?}");
            }
        }
    }
}

#[test]
fn an_answer_that_does_not_fit_its_question_is_a_fault_and_no_panic() {
    let mut answers = Answers::default();
    answers.put(Query::Shape, Ok(nightdesk::protocol::query::Reply::Customers(Vec::new())), now());
    let case = assemble(&by_profile(), None, &answers);
    assert!(matches!(case.shape, Known::Failed(_)));
}

#[test]
fn an_id_that_exists_nowhere_is_said_to() {
    let world = World::empty();
    for handle in every_handle() {
        let d = world.diagnose(&handle);
        assert_eq!((d.word, d.sentence.as_str()), (Word::Warn, "Nobody here has this id"), "{handle:?}");
    }
}

#[test]
fn a_checkout_of_a_profile_that_is_gone_disputes_nothing() {
    let mut world = World::healthy();
    world.sessions.push(session("cs_test_gone123456", &world.subscriptions[0], OTHER));
    assert_eq!(world.diagnose(&by_customer()).class, Class::Fine);
    let gone = disowned(&key(PROFILE), &world.records, &world.customers, &world.subscriptions, &world.sessions);
    assert!(gone.is_empty());
    world.records.clear();
    world.sessions.remove(0);
    let d = world.diagnose(&by_customer());
    assert_eq!(d.reason.as_deref(), Some("The checkout names profile 99aa…22, which is not in the database."));
}

#[test]
fn more_customers_than_are_followed_leave_the_verdict_open_unless_one_is_named() {
    let mut world = World::healthy();
    for n in 0..7 {
        world.customers.push(customer(&format!("cus_Crowd000000{n}"), Some("jane.doe@acme.com")));
    }
    let d = world.diagnose(&by_profile());
    assert_eq!((d.word, d.class), (Word::Unknown, Class::Undecided), "{d:?}");
    assert!(d.reason.as_deref().is_some_and(|r| r.contains("more than 5 customers") || r.contains("More than 5 customers")), "{d:?}");
    assert!(!d.sentence.contains("did not answer"), "it did: {}", d.sentence);
    let d = world.diagnose(&by_customer());
    assert_eq!(d.word, Word::Ok, "the one that is named is followed: {d:?}");
}

#[test]
fn the_item_that_names_the_tier_gives_period_and_time() {
    let mut world = World::healthy();
    let mut addon = item("si_Addon", price("price_Addon", None), ago(5));
    addon.price.interval = Some(Interval::Year);
    world.subscriptions[0].items.insert(0, addon);
    let case = world.read(&by_profile(), None).case;
    let s = &case.subscriptions.value().expect("read")[0];
    let due = expected(s, &TierRules::default(), &shape(), None).expect("one tier");
    assert_eq!(due.item_of(s).map(|i| i.id.as_str()), Some(s.items[1].id.as_str()));
    assert_eq!(nightdesk::domain::diagnosis::changed_at(s, due.item_of(s), None, now()), s.created, "not the add-on's period");
    assert_eq!(world.diagnose(&by_profile()).word, Word::Ok);
}
