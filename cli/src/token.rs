//! `skep token`: tokens of callers, in the file that gateways read.

use std::path::PathBuf;

use anyhow::anyhow;
use skep_gateway::{NewToken, Role, TokenFile};
use skep_protocol::{FunctionName, Namespace};
use time::OffsetDateTime;

use crate::{
    args::{TokenCommand, TokenCreateArgs, TokenFileArgs, TokenListArgs, TokenRevokeArgs, TokenRole},
    client::table,
    failure::{Failure, Result, bad_setting},
    output,
    password::{FOLDER, TOKENS_FILE},
};

pub(crate) fn run(command: TokenCommand) -> Result<()> {
    match command {
        TokenCommand::Create(args) => create(args),
        TokenCommand::List(args) => list(&args),
        TokenCommand::Revoke(args) => revoke(&args),
    }
}

fn create(args: TokenCreateArgs) -> Result<()> {
    args.name.parse::<FunctionName>().map_err(|error| Failure::setting(format!("the name of a token: {error}")))?;
    for namespace in &args.namespace {
        namespace.parse::<Namespace>().map_err(|error| bad_setting("--namespace", error))?;
    }
    let path = path(&args.file)?;
    let expires_at = args.expires.map(|expires| OffsetDateTime::now_utc() + expires);
    let new = NewToken { name: args.name, role: role(args.role), namespaces: args.namespace, expires_at };
    output::line(TokenFile::change(&path, |file| file.create(new))?);
    Ok(())
}

fn list(args: &TokenListArgs) -> Result<()> {
    let file = TokenFile::read(&path(&args.file)?)?;
    if args.json {
        return crate::client::print_json(&file.tokens.iter().map(shown).collect::<Vec<_>>());
    }
    if file.tokens.is_empty() {
        output::line("No tokens.");
        return Ok(());
    }
    let rows = file.tokens.iter().map(|token| {
        let namespaces = if token.namespaces.is_empty() { "all".to_owned() } else { token.namespaces.join(", ") };
        let expires = match token.expires_at {
            Some(_) if token.has_expired() => "expired".to_owned(),
            Some(end) => table::at(end),
            None => "never".to_owned(),
        };
        let (role, created) = (token.role.as_str().to_owned(), table::at(token.created_at));
        [token.id.clone(), output::harmless(&token.name), role, namespaces, created, expires]
    });
    table::print(["ID", "NAME", "ROLE", "NAMESPACES", "CREATED", "EXPIRES"], rows);
    Ok(())
}

/// Without the hash, which is nobody's business.
fn shown(token: &skep_gateway::Token) -> serde_json::Value {
    let mut value = serde_json::to_value(token).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("hash");
    }
    value
}

fn revoke(args: &TokenRevokeArgs) -> Result<()> {
    let path = path(&args.file)?;
    let revoked = TokenFile::change(&path, |file| Ok(file.revoke(&args.token)))?;
    let Some(token) = revoked else {
        return Err(Failure::Missing(format!("there is no token {:?} in {}", args.token, path.display())));
    };
    output::line(format_args!("token {} ({}) is revoked", token.name, token.id));
    Ok(())
}

/// Where the tokens are; a folder that skep up has not made is more likely a mistake.
fn path(args: &TokenFileArgs) -> Result<PathBuf> {
    if let Some(file) = &args.tokens_file {
        return Ok(file.clone());
    }
    let folder = args.data_dir.join(FOLDER);
    if !folder.is_dir() {
        let folder = folder.display();
        let reason = format!("there is no {folder}; start skep up first, or name the file with --tokens-file");
        return Err(bad_setting("--data-dir", anyhow!(reason)));
    }
    Ok(folder.join(TOKENS_FILE))
}

fn role(role: TokenRole) -> Role {
    match role {
        TokenRole::Read => Role::Read,
        TokenRole::Invoke => Role::Invoke,
        TokenRole::Deploy => Role::Deploy,
        TokenRole::Admin => Role::Admin,
    }
}
