//! `registryAuth`: who may pull a function's image.

use base64::{Engine, prelude::BASE64_STANDARD};
use bollard::auth::DockerCredentials;

/// Reads base64 of `user:password`; the registry is the image's.
pub(super) fn read(registry_auth: &str, image: &str) -> Result<Option<DockerCredentials>, String> {
    if registry_auth.is_empty() {
        return Ok(None);
    }
    let invalid = "Invalid registry auth: registryAuth is not base64 of user:password";
    let text = BASE64_STANDARD.decode(registry_auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) = text.as_deref().and_then(|text| text.split_once(':')).ok_or(invalid)?;
    if user.is_empty() {
        return Err(invalid.to_owned());
    }
    Ok(Some(DockerCredentials {
        username: Some(user.to_owned()),
        password: Some(password.to_owned()),
        serveraddress: Some(registry_of(image).to_owned()),
        ..DockerCredentials::default()
    }))
}

/// The login at skep's own store of images.
pub(super) fn of_login(login: &str, address: &str) -> DockerCredentials {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    DockerCredentials {
        username: Some(user.to_owned()),
        password: Some(password.to_owned()),
        serveraddress: Some(address.to_owned()),
        ..DockerCredentials::default()
    }
}

/// The first part of an image's name is a registry if it looks like a host name.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "https://index.docker.io/v1/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_the_registry_of_the_image() {
        let registry = |image: &str| {
            let read = read(&BASE64_STANDARD.encode("ann:se:cret"), image).unwrap().unwrap();
            assert_eq!((read.username.as_deref(), read.password.as_deref()), (Some("ann"), Some("se:cret")));
            read.serveraddress.unwrap()
        };
        assert_eq!(registry("registry.example:5000/team/f:1"), "registry.example:5000");
        assert_eq!(registry("localhost/f"), "localhost");
        assert_eq!(registry("team/f:1"), "https://index.docker.io/v1/");
        assert_eq!(registry("f"), "https://index.docker.io/v1/");
    }

    #[test]
    fn what_is_malformed_is_refused() {
        assert!(read("", "f").unwrap().is_none());
        for bad in ["%%", "YQ==", &BASE64_STANDARD.encode(":x"), &BASE64_STANDARD.encode([0xff, b':'])] {
            assert!(read(bad, "f").unwrap_err().starts_with("Invalid registry auth"), "{bad}");
        }
    }
}
