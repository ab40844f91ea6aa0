//! Which database an address leads to, without who asks to be let in: what tells environments apart that nobody has named.

/// `host:port/database`; `None` for what is no address of a database.
#[must_use]
pub fn of(address: &str) -> Option<String> {
    let rest = address.strip_prefix("postgres://").or_else(|| address.strip_prefix("postgresql://"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let given = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).filter(|v| !v.is_empty());
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
        _ => (host, "5432"),
    };
    let host = given("host").or_else(|| given("hostaddr")).unwrap_or(host);
    let database = given("dbname").unwrap_or(database);
    let database = if database.is_empty() { user.split(':').next().unwrap_or_default() } else { database };
    Some(format!("{}:{}/{database}", host.to_lowercase(), given("port").unwrap_or(port)))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn the_same_database_is_the_same_whoever_asks() {
        let place = Some("db1.acme.example:5432/billing".to_string());
        for address in [
            "postgres://ann:s3cret@db1.acme.example/billing",
            "postgresql://bob@DB1.acme.example:5432/billing?sslmode=require",
            "postgres://billing:p%40ss@db1.acme.example",
            "postgres:///billing?host=db1.acme.example&port=5432",
        ] {
            assert_eq!(of(address), place, "{address}");
        }
        assert_eq!(of("postgres://ann@db1.acme.example:6432/billing").as_deref(), Some("db1.acme.example:6432/billing"));
        assert_eq!(of("postgres://ann@[::1]/billing").as_deref(), Some("[::1]:5432/billing"));
        assert_eq!(of("mysql://x"), None);
    }
}
