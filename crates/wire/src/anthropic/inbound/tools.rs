//! What the model may call, and whether it must.

use domain::conversation::{Tool, ToolChoice, Which};

use super::content;
use crate::object::Value;
use crate::translation::ReadError;

pub(super) fn read(tools: &Value<'_>) -> Result<Vec<Tool>, ReadError> {
    tools.list()?.iter().map(tool).collect()
}

fn tool(value: &Value<'_>) -> Result<Tool, ReadError> {
    let mut object = value.object()?;
    if let Some(kind) = object.take("type")
        && kind.text()? != "custom"
    {
        return Err(kind.unsupported("only models of its own dialect have tools of the provider's"));
    }
    let tool = Tool {
        name: object.demand_text("name")?,
        description: object.text("description")?,
        schema: Some(object.demand("input_schema")?.json_object()?),
        strict: object.take("strict").map(|value| value.flag()).transpose()?,
        cache: content::cache_time(&mut object)?,
    };
    // In what pieces arguments come changes no answer.
    object.take("eager_input_streaming");
    object.take_usual("defer_loading", &["false"])?;
    object.take_usual("allowed_callers", &["[\"direct\"]"])?;
    object.take_usual("input_examples", &["[]"])?;
    object.finish()?;
    Ok(tool)
}

pub(super) fn choice(value: &Value<'_>) -> Result<ToolChoice, ReadError> {
    let mut object = value.object()?;
    let kind = object.demand("type")?;
    let which = match kind.text()?.as_str() {
        "auto" => Which::Auto,
        "none" => Which::Never,
        "any" => Which::Any,
        "tool" => Which::This(object.demand_text("name")?),
        _ => return Err(kind.invalid("`auto`, `any`, `tool` or `none`")),
    };
    let is_single = object.take("disable_parallel_tool_use").map(|value| value.flag()).transpose()?;
    object.finish()?;
    Ok(ToolChoice { which, parallel: is_single.map(|is_single| !is_single) })
}
