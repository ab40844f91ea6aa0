//! Personal data and ids, shortened for the screen: enough to recognise, not enough to leak.

/// `j•••@a•••.com`: the first letter of each part and the top-level domain stay.
#[must_use]
pub fn email(address: &str) -> String {
    let Some((local, host)) = address.split_once('@') else { return name(address) };
    let (domain, tld) = host.rsplit_once('.').map_or((host, String::new()), |(d, t)| (d, format!(".{t}")));
    format!("{}@{}{tld}", name(local), name(domain))
}

/// The text with every address in it masked; what is masked already stays.
#[must_use]
pub fn addresses(text: &str) -> String {
    let masks = |word: &str| word.contains('@') && !word.contains('•');
    text.split(' ').map(|word| if masks(word) { email(word) } else { word.to_string() }).collect::<Vec<_>>().join(" ")
}

/// `J•••`: the first character stays.
#[must_use]
pub fn name(text: &str) -> String {
    text.chars().next().map_or_else(String::new, |c| format!("{c}•••"))
}

/// An id with its middle cut: prefix, one character, `…`, the last two. Short ids stay whole.
#[must_use]
pub fn id(text: &str) -> String {
    let head = text.rfind('_').map_or(4, |i| i + 2).min(text.len());
    let chars: Vec<char> = text.chars().collect();
    if !text.is_ascii() || chars.len() <= head + 4 {
        return text.to_string();
    }
    format!("{}…{}", &text[..head], &text[text.len() - 2..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_masked_is_still_recognisable() {
        assert_eq!(email("jane.doe@acme.example.com"), "j•••@a•••.com");
        assert_eq!(email("nonsense"), "n•••");
        assert_eq!(addresses("tell joe@acme.com, or j•••@a•••.com"), "tell j•••@a•••.com, or j•••@a•••.com");
        assert_eq!(id("cus_QxAbCdEf98d"), "cus_Q…8d");
        assert_eq!(id("7f3a5b7c-0000-4000-8000-000000000011"), "7f3a…11");
        assert_eq!(id("cus_temp_ab12"), "cus_temp_ab12");
    }
}
