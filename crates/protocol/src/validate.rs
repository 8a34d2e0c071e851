//! Checks of deployments and secrets that need nothing but their text.

use thiserror::Error;

use crate::{DefaultNamespace, FunctionDeployment, FunctionName, FunctionPolicy, NameError, PolicyDefaults};

/// Why a deployment or a secret is refused; the text names the field.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Invalid(String);

impl From<NameError> for Invalid {
    fn from(error: NameError) -> Self {
        Self(error.to_string())
    }
}

/// Checks a deployment and returns the function's name. A namespace that `service` names moves to `namespace`.
pub fn deployment(deployment: &mut FunctionDeployment, default: &DefaultNamespace) -> Result<FunctionName, Invalid> {
    let name = default.function_in(&deployment.service, &deployment.namespace)?;
    if let Some((service, namespace)) = deployment.service.rsplit_once('.') {
        (deployment.service, deployment.namespace) = (service.to_owned(), namespace.to_owned());
    }
    let invalid = |reason: String| Invalid(format!("function {name}: {reason}"));
    if name.is_of_canary() {
        return Err(invalid("a name that ends in --canary is skep's own".to_owned()));
    }
    let checked = FunctionPolicy::parse(deployment, &PolicyDefaults::default());
    checked.map_err(|error| invalid(error.to_string()))?;
    for (variable, value) in &deployment.env_vars {
        if variable.is_empty() || variable.contains(['=', '\0']) {
            return Err(invalid(format!("{variable:?} cannot be the name of a variable")));
        }
        if value.contains('\0') {
            return Err(invalid(format!("the value of variable {variable} has a NUL character")));
        }
    }
    for secret in &deployment.secrets {
        secret_name(secret).map_err(|error| invalid(error.to_string()))?;
    }
    Ok(name)
}

/// Checks the name of a secret, which becomes the name of a file.
pub fn secret_name(name: &str) -> Result<(), Invalid> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !name.is_empty() && name.len() <= 253 && !name.starts_with('.') && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Invalid(format!(
        "secret name {name:?} is not valid: use letters, digits, dots, hyphens and underscores, at most 253, no dot first"
    )))
}

#[cfg(test)]
mod tests {
    use crate::{AUTH, RETRY_ATTEMPTS, SANDBOX, SCALE_MIN, TIMEOUT};

    use super::*;

    fn check(change: impl FnOnce(&mut FunctionDeployment)) -> String {
        let mut asked = FunctionDeployment { service: "f".to_owned(), ..Default::default() };
        change(&mut asked);
        deployment(&mut asked, &DefaultNamespace::default())
            .map_or_else(|error| error.to_string(), |name| format!("{name} is good"))
    }

    #[test]
    fn each_bad_field_is_named() {
        let insert = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
        assert_eq!(check(|_| ()), "f is good");
        assert_eq!(check(|asked| asked.namespace = "openfaas-fn".to_owned()), "f is good");
        assert_eq!(check(|asked| asked.namespace = "dev".to_owned()), "f.dev is good");
        assert_eq!(check(|asked| asked.service = "f.dev".to_owned()), "f.dev is good");
        assert!(check(|asked| asked.namespace = "No Such".to_owned()).contains("is not valid"));
        assert_eq!(check(|asked| asked.service.clear()), "function name is missing");
        assert!(check(|asked| asked.service = "a.b.c".to_owned()).contains("is not valid"));
        assert!(check(|asked| asked.labels = insert(SCALE_MIN, "two")).contains(SCALE_MIN));
        assert!(check(|asked| asked.annotations = insert(TIMEOUT, "soon")).contains(TIMEOUT));
        assert!(check(|asked| asked.annotations = insert(AUTH, "yes")).contains(AUTH));
        assert!(check(|asked| asked.annotations = insert(RETRY_ATTEMPTS, "often")).contains(RETRY_ATTEMPTS));
        assert!(check(|asked| asked.env_vars = insert("max_inflight", "-1")).contains("max_inflight"));
        assert!(check(|asked| asked.annotations = insert(SANDBOX, "maybe")).contains("neither on nor off"));
        assert!(check(|asked| asked.env_vars = insert("A=B", "")).contains("\"A=B\""));
        assert!(check(|asked| asked.env_vars = insert("", "")).contains("\"\""));
        assert!(check(|asked| asked.env_vars = insert("A", "a\0b")).contains("NUL"));
        assert!(check(|asked| asked.secrets = vec!["../x".to_owned()]).contains("../x"));
    }

    #[test]
    fn secrets_are_named_like_plain_files() {
        for good in ["a", "tls.key", "A_b-1", &"x".repeat(253)] {
            assert!(secret_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".a", "a/b", "a b", "ä", "a\0", &"x".repeat(254)] {
            assert!(secret_name(bad).is_err(), "{bad}");
        }
    }
}
