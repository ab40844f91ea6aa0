//! Which URL a probe asks: the one that Stripe really sends to, as far as it can be told which of the registered ones is meant.

use crate::domain::webhooks::endpoint::Endpoint;

/// What there is to be probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// The endpoint that is registered for the configured URL, or the one that resembles it most.
    Registered(&'a Endpoint),
    /// The configured URL, which nothing registered resembles.
    Configured(&'a str),
    /// Several are registered, and nothing says which one is the application's.
    Unclear,
    /// Nothing is registered or configured.
    Nothing,
}

/// Chooses by the configured URL: the same, else the same host, else the same path. What resembles it in neither is somebody else's endpoint,
/// and is sent nothing.
#[must_use]
pub fn target<'a>(endpoints: &'a [Endpoint], configured: Option<&'a str>) -> Target<'a> {
    // Of two for one URL the one that is on counts.
    let best = |suits: &dyn Fn(&Endpoint) -> bool| {
        let mut suiting: Vec<&Endpoint> = endpoints.iter().filter(|e| suits(e)).collect();
        suiting.sort_by_key(|e| (!e.enabled, e.lacks().len()));
        suiting.first().copied()
    };
    if let Some(url) = configured {
        let same = best(&|e| e.is_for(url));
        let host = || best(&|e| host(&e.url) == host(url));
        let path = || best(&|e| path(url).len() > 1 && path(&e.url) == path(url));
        return same.or_else(host).or_else(path).map_or(Target::Configured(url), Target::Registered);
    }
    let useful: Vec<&Endpoint> = endpoints.iter().filter(|e| e.enabled && e.lacks().is_empty()).collect();
    match (endpoints, useful.as_slice()) {
        ([], _) => Target::Nothing,
        ([one], _) => Target::Registered(one),
        (_, [one]) => Target::Registered(one),
        _ => Target::Unclear,
    }
}

/// `api.example.com:8443`.
pub fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// `/webhooks/stripe`, without a slash at its end.
pub fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if path.len() > 1 { path.trim_end_matches('/') } else { path }
}

/// The URL as it may be shown: a query may hold a secret.
pub fn shown(url: &str) -> String {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    format!("{scheme}://{}{}", host(url), path(url))
}
