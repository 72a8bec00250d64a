//! Labels of addresses: the config `nacrite.cmdb` of the default namespace and group, read whenever it changes.

use std::sync::Arc;

use nacrite_core::{
    model::{ConfigKey, DEFAULT_GROUP},
    naming::Labels,
    view::Reading,
};

use crate::drive::Drive;

/// Data id of the config.
pub(crate) const DATA_ID: &str = "nacrite.cmdb";

/// Its key.
#[must_use]
fn key() -> ConfigKey {
    ConfigKey::new("", DEFAULT_GROUP, DATA_ID)
}

/// Follows the config until the process ends. A content that cannot be read as labels leaves the old ones.
pub(crate) async fn follow(drive: Arc<Drive>) {
    let key = key();
    let mut seen = None;
    let mut changed = drive.labels_changed();
    loop {
        let revision = drive
            .views
            .config(&key)
            .and_then(|item| item.formal.as_ref().map(|v| v.content.index));
        if revision != seen {
            seen = revision;
            match read(&drive, revision).await {
                Ok(labels) => drive.views.set_labels(labels),
                Err(reason) => {
                    tracing::warn!("{DATA_ID} is not read: {reason}; the labels stay as they were");
                }
            }
        }
        if changed.changed().await.is_err() {
            return;
        }
    }
}

async fn read(drive: &Arc<Drive>, revision: Option<u64>) -> Result<Labels, String> {
    let Some(index) = revision else {
        return Ok(Labels::default());
    };
    let content = drive
        .contents
        .get(index)
        .await?
        .ok_or("it changed meanwhile")?;
    Labels::parse(&content)
}
