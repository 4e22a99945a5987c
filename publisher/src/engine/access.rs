//! As whom an engine is asked: credentials from the environment or a file, and the tenant.

use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// As whom an engine is asked.
#[derive(Clone, Default)]
pub(crate) struct Access {
    /// The value of the `Authorization` header; secret.
    pub(super) authorization: Option<String>,
    /// Whose logs, in the engine's own form.
    pub(super) tenant: Option<String>,
    /// Is told of each request and its answer, without secrets.
    pub(super) on_exchange: Option<fn(&str)>,
}

impl Access {
    /// Takes credentials from a file, or else from what `variable` gives: `FAULTLINE_LOGS_TOKEN`, or
    /// `FAULTLINE_LOGS_USER` with `FAULTLINE_LOGS_PASSWORD`. The file holds `USER:PASSWORD`, or a token, on one line.
    ///
    /// # Errors
    /// When the file cannot be read or holds neither, or a user has no password.
    pub(crate) fn new(
        file: Option<&Path>,
        variable: &dyn Fn(&str) -> Option<String>,
        tenant: Option<String>,
        on_exchange: Option<fn(&str)>,
    ) -> anyhow::Result<Self> {
        let authorization = match file {
            Some(file) => Some(of_file(file)?),
            None => of_variables(variable)?,
        };
        Ok(Self { authorization, tenant, on_exchange })
    }
}

fn of_file(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the credentials in `{}`", file.display()))?;
    let line = text.trim();
    if line.is_empty() || line.contains(['\n', '\r']) {
        bail!("`{}` holds no credentials: write USER:PASSWORD, or a token, on one line", file.display());
    }
    Ok(match line.split_once(':') {
        Some((user, password)) => basic(user, password),
        None => bearer(line),
    })
}

fn of_variables(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Option<String>> {
    let of = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(token) = of("FAULTLINE_LOGS_TOKEN") {
        return Ok(Some(bearer(token.trim())));
    }
    match (of("FAULTLINE_LOGS_USER"), of("FAULTLINE_LOGS_PASSWORD")) {
        (Some(user), Some(password)) => Ok(Some(basic(&user, &password))),
        (Some(_), None) => bail!("FAULTLINE_LOGS_USER is set and FAULTLINE_LOGS_PASSWORD is not: set both"),
        (None, _) => Ok(None),
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {}", token.trim_start_matches("Bearer "))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(file: Option<&Path>, set: &[(&str, &str)]) -> anyhow::Result<Option<String>> {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Access::new(file, &variable, None, None).map(|access| access.authorization)
    }

    #[test]
    fn credentials_come_from_the_environment_or_a_file() {
        let both = [("FAULTLINE_LOGS_USER", "u"), ("FAULTLINE_LOGS_PASSWORD", "p")];
        assert_eq!(of(None, &[]).unwrap(), None);
        assert_eq!(of(None, &both).unwrap().unwrap(), "Basic dTpw");
        assert_eq!(of(None, &[("FAULTLINE_LOGS_TOKEN", "t")]).unwrap().unwrap(), "Bearer t");
        assert!(of(None, &both[..1]).is_err());
        let dir = tempfile::tempdir().unwrap();
        for (text, wanted) in [("u:p\n", Some("Basic dTpw")), ("t", Some("Bearer t")), ("", None), ("a\nb", None)] {
            let file = dir.path().join("credentials");
            std::fs::write(&file, text).unwrap();
            assert_eq!(of(Some(&file), &both).ok().flatten().as_deref(), wanted, "{text}");
        }
    }
}
