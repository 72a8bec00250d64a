//! Publishes and removals.

use alloc::boxed::Box;

use super::{group, key_of};
use crate::{
    api::{
        Answer, Args, Fault, Plan,
        v1::config::content::{
            check_attributes, check_content, is_name, publish_of, remove_of_ids,
        },
        wrapped::done,
    },
    model::GrayRule,
    node::op::Op,
};

/// Publishes a config, or a gray version of it.
pub(in crate::api) fn publish(args: &Args<'_>) -> Result<Plan, Fault> {
    let content = args.call().raw("content").unwrap_or_default();
    for (label, text) in [("dataId", args.text("dataId")), ("group", group(args))] {
        if !is_name(text) {
            return Err(Fault::Argument(alloc::format!("invalid {label} : {text}")));
        }
    }
    check_content(args, content)?;
    check_attributes(&|name| args.text(name), "configTags")
        .map_err(|words| Fault::Argument(words.into()))?;
    let user = args.shared("srcUser");
    let publish = publish_of(args, key_of(args), content, "configTags", user);
    let telling = args.telling();
    Ok(Plan::Submit {
        op: Op::Publish(Box::new(publish)),
        content: Some(content.as_bytes().to_vec()),
        then: Box::new(move |answered, _| {
            let answer = answered.map_err(Fault::from).and_then(done);
            Plan::Answer(answer.unwrap_or_else(|fault| fault.tell(&telling)))
        }),
    })
}

/// Removes a config, or the gray version of a tag; that there was none is well.
pub(in crate::api) fn remove(args: &Args<'_>) -> Result<Plan, Fault> {
    let tag = args.text("tag");
    let gray = (!tag.is_empty()).then(|| GrayRule::Tag { tag: tag.into() }.name());
    let op = Op::RemoveConfig {
        key: key_of(args),
        gray,
    };
    Ok(args.submit(op, done))
}

/// Removes configs by their ids; unknown ones are passed over.
pub(in crate::api) fn remove_ids(args: &Args<'_>) -> Result<Plan, Fault> {
    remove_of_ids(args, Answer::wrapped("true"))
}

/// Removes the gray version for some addresses.
pub(in crate::api) fn stop_beta(args: &Args<'_>) -> Result<Plan, Fault> {
    let op = Op::RemoveConfig {
        key: key_of(args),
        gray: Some("beta".into()),
    };
    Ok(args.submit(op, done))
}
