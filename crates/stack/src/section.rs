//! The shape of a stack file. Unknown keys are collected and reported with their line.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_saphyr::Spanned;
use skep_protocol::Resources;

use crate::located::Located;

/// Keys of a function that only matter when its image is built, or that OpenFaaS's other providers read.
const BUILD_KEYS: [&str; 8] =
    ["lang", "skip_build", "build_options", "build_option", "build_args", "build_secrets", "platforms", "publish"];

#[derive(Default)]
pub(super) struct StackFile {
    pub(super) name: Option<Spanned<String>>,
    pub(super) provider: Option<Spanned<String>>,
    pub(super) namespaces: Vec<Spanned<String>>,
    pub(super) secrets: Vec<(Spanned<String>, SecretSection)>,
    pub(super) functions: Vec<(Spanned<String>, FunctionSection)>,
    pub(super) sources: Vec<(Spanned<String>, Located)>,
    pub(super) unknown: Vec<Spanned<String>>,
}

#[derive(Default)]
pub(super) struct FunctionSection {
    pub(super) fprocess: String,
    pub(super) image: String,
    pub(super) handler: String,
    pub(super) build: String,
    pub(super) namespace: String,
    pub(super) network: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) environment_file: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) constraints: Vec<String>,
    pub(super) secrets: Vec<String>,
    pub(super) limits: Option<Resources>,
    pub(super) requests: Option<Resources>,
    pub(super) readonly_root_filesystem: bool,
    pub(super) unknown: Vec<Spanned<String>>,
}

/// A secret that functions name; without a file or a variable, someone has to set it.
#[derive(Default)]
pub(super) struct SecretSection {
    pub(super) file: Option<String>,
    pub(super) env: Option<String>,
    pub(super) namespace: String,
    pub(super) unknown: Vec<Spanned<String>>,
}

#[derive(Default)]
pub(super) struct EnvironmentFile {
    pub(super) environment: BTreeMap<String, String>,
    pub(super) unknown: Vec<Spanned<String>>,
}

/// A mapping that takes its entries one by one.
trait Section: Default {
    const EXPECTING: &str;

    /// Reads the value of a key, or returns `false` when the key is not known and its value was not read.
    fn entry<'de, M: MapAccess<'de>>(&mut self, key: &Spanned<String>, map: &mut M) -> Result<bool, M::Error>;

    fn unknown(&mut self) -> Option<&mut Vec<Spanned<String>>>;
}

impl Section for StackFile {
    const EXPECTING: &str = "a stack file: a mapping with the keys functions and sources";

    fn entry<'de, M: MapAccess<'de>>(&mut self, key: &Spanned<String>, map: &mut M) -> Result<bool, M::Error> {
        match key.value.as_str() {
            "version" | "configuration" => ignore(map)?,
            "provider" => {
                let provider = map.next_value::<Option<Mapping<ProviderSection>>>()?.map(|provider| provider.0);
                self.unknown.extend(provider.as_ref().map(|section| section.unknown.clone()).unwrap_or_default());
                self.provider = provider.and_then(|section| section.name);
            }
            "name" => self.name = map.next_value()?,
            "namespaces" => self.namespaces = null_is_default(map)?,
            "secrets" => {
                let secrets = map.next_value::<Option<Mapping<Secrets>>>()?;
                self.secrets = secrets.map(|secrets| secrets.0.0).unwrap_or_default();
            }
            "functions" => {
                let functions = map.next_value::<Option<Mapping<Functions>>>()?;
                self.functions = functions.map(|functions| functions.0.0).unwrap_or_default();
            }
            "sources" => {
                let sources = map.next_value::<Option<Mapping<Sources>>>()?;
                self.sources = sources.map(|sources| sources.0.0).unwrap_or_default();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn unknown(&mut self) -> Option<&mut Vec<Spanned<String>>> {
        Some(&mut self.unknown)
    }
}

#[derive(Default)]
struct ProviderSection {
    name: Option<Spanned<String>>,
    unknown: Vec<Spanned<String>>,
}

impl Section for ProviderSection {
    const EXPECTING: &str = "a mapping with the keys name and gateway";

    fn entry<'de, M: MapAccess<'de>>(&mut self, key: &Spanned<String>, map: &mut M) -> Result<bool, M::Error> {
        match key.value.as_str() {
            "name" => self.name = Some(map.next_value()?),
            "gateway" | "network" => ignore(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn unknown(&mut self) -> Option<&mut Vec<Spanned<String>>> {
        Some(&mut self.unknown)
    }
}

/// All functions, in the file's order and with their positions.
#[derive(Default)]
struct Functions(Vec<(Spanned<String>, FunctionSection)>);

impl Section for Functions {
    const EXPECTING: &str = "functions by name";

    fn entry<'de, M: MapAccess<'de>>(&mut self, key: &Spanned<String>, map: &mut M) -> Result<bool, M::Error> {
        let section = map.next_value::<Option<Mapping<FunctionSection>>>()?;
        self.0.push((key.clone(), section.map(|section| section.0).unwrap_or_default()));
        Ok(true)
    }

    fn unknown(&mut self) -> Option<&mut Vec<Spanned<String>>> {
        None
    }
}

/// All secrets, in the file's order and with their positions.
#[derive(Default)]
struct Secrets(Vec<(Spanned<String>, SecretSection)>);

impl Section for Secrets {
    const EXPECTING: &str = "secrets by name";

    fn entry<'de, M: MapAccess<'de>>(&mut self, key: &Spanned<String>, map: &mut M) -> Result<bool, M::Error> {
        let section = map.next_value::<Option<Mapping<SecretSection>>>()?;
        self.0.push((key.clone(), section.map(|section| section.0).unwrap_or_default()));
        Ok(true)
    }

    fn unknown(&mut self) -> Option<&mut Vec<Spanned<String>>> {
        None
    }
}

impl Section for SecretSection {
    const EXPECTING: &str = "a secret: nothing, or a mapping with file or env, and namespace";

    fn entry<'de, M: MapAccess<'de>>(&mut self, key: &Spanned<String>, map: &mut M) -> Result<bool, M::Error> {
        match key.value.as_str() {
            "file" => self.file = map.next_value()?,
            "env" => self.env = map.next_value()?,
            "namespace" => self.namespace = null_is_default(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn unknown(&mut self) -> Option<&mut Vec<Spanned<String>>> {
        Some(&mut self.unknown)
    }
}

/// All sources, in the file's order and with their positions.
#[derive(Default)]
struct Sources(Vec<(Spanned<String>, Located)>);

impl Section for Sources {
    const EXPECTING: &str = "sources by name";

    fn entry<'de, M: MapAccess<'de>>(&mut self, key: &Spanned<String>, map: &mut M) -> Result<bool, M::Error> {
        self.0.push((key.clone(), map.next_value()?));
        Ok(true)
    }

    fn unknown(&mut self) -> Option<&mut Vec<Spanned<String>>> {
        None
    }
}

impl Section for FunctionSection {
    const EXPECTING: &str = "a function: a mapping with keys such as fprocess, image and environment";

    fn entry<'de, M: MapAccess<'de>>(&mut self, key: &Spanned<String>, map: &mut M) -> Result<bool, M::Error> {
        match key.value.as_str() {
            "fprocess" => self.fprocess = null_is_default(map)?,
            "image" => self.image = null_is_default(map)?,
            "handler" => self.handler = null_is_default(map)?,
            "build" => self.build = null_is_default(map)?,
            "namespace" => self.namespace = null_is_default(map)?,
            "network" => self.network = null_is_default(map)?,
            "environment" => self.environment = texts(map)?,
            "environment_file" => self.environment_file = null_is_default(map)?,
            "labels" => self.labels = texts(map)?,
            "annotations" => self.annotations = texts(map)?,
            "constraints" => self.constraints = null_is_default(map)?,
            "secrets" => self.secrets = null_is_default(map)?,
            "limits" => self.limits = map.next_value()?,
            "requests" => self.requests = map.next_value()?,
            "readonly_root_filesystem" => self.readonly_root_filesystem = null_is_default(map)?,
            key if BUILD_KEYS.contains(&key) => ignore(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn unknown(&mut self) -> Option<&mut Vec<Spanned<String>>> {
        Some(&mut self.unknown)
    }
}

impl Section for EnvironmentFile {
    const EXPECTING: &str = "a mapping with the key environment";

    fn entry<'de, M: MapAccess<'de>>(&mut self, key: &Spanned<String>, map: &mut M) -> Result<bool, M::Error> {
        match key.value.as_str() {
            "environment" => self.environment = texts(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn unknown(&mut self) -> Option<&mut Vec<Spanned<String>>> {
        Some(&mut self.unknown)
    }
}

impl<'de> Deserialize<'de> for StackFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Mapping::deserialize(deserializer).map(|mapping| mapping.0)
    }
}

impl<'de> Deserialize<'de> for EnvironmentFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Mapping::deserialize(deserializer).map(|mapping| mapping.0)
    }
}

struct Mapping<S>(S);

impl<'de, S: Section> Deserialize<'de> for Mapping<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SectionVisitor(PhantomData)).map(Self)
    }
}

struct SectionVisitor<S>(PhantomData<S>);

impl<'de, S: Section> Visitor<'de> for SectionVisitor<S> {
    type Value = S;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(S::EXPECTING)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<S, M::Error> {
        let mut section = S::default();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            if section.entry(&key, &mut map)? {
                continue;
            }
            ignore(&mut map)?;
            if !key.value.starts_with("x-")
                && let Some(unknown) = section.unknown()
            {
                unknown.push(key);
            }
        }
        Ok(section)
    }
}

fn ignore<'de, M: MapAccess<'de>>(map: &mut M) -> Result<(), M::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

fn null_is_default<'de, T: Default + Deserialize<'de>, M: MapAccess<'de>>(map: &mut M) -> Result<T, M::Error> {
    map.next_value::<Option<T>>().map(Option::unwrap_or_default)
}

/// Numbers and booleans are taken as they are written; nothing is an empty text.
fn texts<'de, M: MapAccess<'de>>(map: &mut M) -> Result<BTreeMap<String, String>, M::Error> {
    let texts: BTreeMap<String, Option<String>> = null_is_default(map)?;
    Ok(texts.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}
