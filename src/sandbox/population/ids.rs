//! Stripe-shaped ids that hold their own number: a keyed permutation, so that an id is found without a table.

/// What an id names; each kind has its own prefix, length and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Customer,
    Subscription,
    Item,
    Invoice,
    InvoiceLine,
    InvoicePayment,
    PaymentIntent,
    Session,
    Event,
    Charge,
    PaymentMethod,
    BalanceTransaction,
}

const KINDS: [Kind; 12] = [
    Kind::Customer,
    Kind::Subscription,
    Kind::Item,
    Kind::Invoice,
    Kind::InvoiceLine,
    Kind::InvoicePayment,
    Kind::PaymentIntent,
    Kind::Session,
    Kind::Event,
    Kind::Charge,
    Kind::PaymentMethod,
    Kind::BalanceTransaction,
];

impl Kind {
    /// Prefix and number of base62 digits after it, as Stripe writes them in test mode.
    fn shape(self) -> (&'static str, usize) {
        match self {
            Kind::Customer => ("cus_", 14),
            Kind::Subscription => ("sub_1", 23),
            Kind::Item => ("si_", 14),
            Kind::Invoice => ("in_1", 23),
            Kind::InvoiceLine => ("il_1", 23),
            Kind::InvoicePayment => ("inpay_1", 23),
            Kind::PaymentIntent => ("pi_3", 23),
            Kind::Session => ("cs_test_a1", 56),
            Kind::Event => ("evt_1", 23),
            Kind::Charge => ("ch_3", 23),
            Kind::PaymentMethod => ("pm_1", 23),
            Kind::BalanceTransaction => ("txn_3", 23),
        }
    }
}

/// The place of an object: whose it is, in which billing cycle, and which of several of its kind (events) it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub number: u64,
    pub cycle: u8,
    pub which: u8,
}

/// `place.number` must be below 2^48: cycle and ordinal take the low sixteen bits.
pub fn encode(seed: u64, kind: Kind, place: Place) -> String {
    let value = (place.number << 16) | (u64::from(place.cycle) << 8) | u64::from(place.which);
    render(seed, kind, value)
}

/// The inverse of [`encode`]; `None` for every text that `encode` cannot have made with this seed.
pub fn decode(seed: u64, id: &str) -> Option<(Kind, Place)> {
    let kind = KINDS.into_iter().find(|k| {
        let (prefix, digits) = k.shape();
        id.strip_prefix(prefix).is_some_and(|rest| rest.len() == digits && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
    })?;
    let mut sealed: u64 = 0;
    for b in id.bytes().skip(id.len() - 11) {
        let digit = ALPHABET.iter().position(|a| *a == b)?;
        sealed = sealed.checked_mul(62)?.checked_add(digit as u64)?;
    }
    let value = open(key(seed, kind), sealed);
    let place = Place { number: value >> 16, cycle: (value >> 8) as u8, which: value as u8 };
    (render(seed, kind, value) == id).then_some((kind, place))
}

/// A well-mixed 64-bit hash (splitmix64's finaliser over both words).
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `count` base62 digits that follow from `source` alone.
pub fn digits(source: u64, count: usize) -> String {
    let mut state = source;
    (0..count)
        .map(|i| {
            state = mix(state, i as u64);
            char::from(ALPHABET[(state % 62) as usize])
        })
        .collect()
}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn key(seed: u64, kind: Kind) -> u64 {
    mix(seed, 0x1D5 + kind as u64)
}

fn render(seed: u64, kind: Kind, value: u64) -> String {
    let (prefix, length) = kind.shape();
    let key = key(seed, kind);
    let mut sealed = seal(key, value);
    let mut tail = [0u8; 11];
    for slot in tail.iter_mut().rev() {
        *slot = ALPHABET[(sealed % 62) as usize];
        sealed /= 62;
    }
    // The digits before the number are a check: an id with one letter changed is no id.
    let mut id = String::with_capacity(prefix.len() + length);
    id.push_str(prefix);
    id.push_str(&digits(mix(key, !value), length - tail.len()));
    id.extend(tail.iter().map(|b| char::from(*b)));
    id
}

/// Four Feistel rounds over two 32-bit halves.
fn seal(key: u64, value: u64) -> u64 {
    let (mut left, mut right) = ((value >> 32) as u32, value as u32);
    for round in 0..4 {
        (left, right) = (right, left ^ (mix(key, (round << 32) | u64::from(right)) as u32));
    }
    (u64::from(left) << 32) | u64::from(right)
}

fn open(key: u64, sealed: u64) -> u64 {
    let (mut left, mut right) = ((sealed >> 32) as u32, sealed as u32);
    for round in (0..4).rev() {
        (left, right) = (right ^ (mix(key, (round << 32) | u64::from(left)) as u32), left);
    }
    (u64::from(left) << 32) | u64::from(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_leads_back_to_its_place() {
        for number in (0..4_000).chain([1_000_000, (1 << 47) + 5]) {
            for kind in KINDS {
                let place = Place { number, cycle: (number % 200) as u8, which: (number % 7) as u8 };
                let id = encode(42, kind, place);
                assert_eq!(decode(42, &id), Some((kind, place)), "{id}");
                assert_ne!(decode(43, &id), Some((kind, place)), "another seed's id is not ours");
            }
        }
    }

    #[test]
    fn a_changed_id_names_nothing() {
        let id = encode(1, Kind::Customer, Place { number: 7, cycle: 0, which: 0 });
        for at in 4..id.len() {
            let mut bytes = id.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(decode(1, std::str::from_utf8(&bytes).expect("ascii")), None);
        }
        for bad in ["", "cus_", "cus_temp_abc", "cus_äääääää", "sub_zzzzzzzzzzzzzzzzzzzzzzzz", "cus_zzzzzzzzzzzzzz"] {
            assert_eq!(decode(1, bad), None, "{bad}");
        }
    }
}
