use super::*;
use crate::model::{ConfigType, Md5};

/// The text itself, as a version of index 1.
pub(crate) fn version(key: &ConfigKey, text: &str) -> ConfigVersion {
    new_version(publish(key, text), None, 1, 1)
}

/// A plain publish of that text.
pub(crate) fn publish(key: &ConfigKey, text: &str) -> Publish {
    let none: Arc<str> = Arc::from("");
    Publish {
        key: key.clone(),
        content: ContentRef {
            index: 0,
            md5: Md5::of(text.as_bytes()),
            bytes: text.len() as u32,
        },
        kind: ConfigType::Text,
        app: none.clone(),
        desc: none.clone(),
        usage: none.clone(),
        effect: none.clone(),
        schema: none.clone(),
        tags: none.clone(),
        encrypted_data_key: none.clone(),
        gray: None,
        cas: None,
        create_only: false,
        user: none.clone(),
        ip: none,
    }
}
