//! `POST /feedback` keeps what people think of an answer; `GET /feedback` lists it.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use domain::feedback::{Feedback, FeedbackFilter, FeedbackKind, Thumb};
use domain::id::{InteractionId, SessionId};
use http::StatusCode;
use pipeline::feedback::Taken;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::head::Head;
use crate::native::text;
use crate::parameters::{Parameters, limit_parameter, since_parameter};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeedbackBody {
    interaction_id: String,
    session_id: Option<String>,
    rating: Option<u8>,
    thumb: Option<ThumbBody>,
    comments: Option<String>,
    comment: Option<String>,
    feedback_type: Option<KindBody>,
    #[serde(rename = "type")]
    kind: Option<KindBody>,
    signal: Option<String>,
    metadata: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ThumbBody {
    Up,
    Down,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindBody {
    Explicit,
    Implicit,
}

pub(crate) async fn give(head: Head, body: Body) -> Result<Response, Problem> {
    let deadline = head.deadline()?;
    let body: FeedbackBody = head.read_json(body).await?;
    let pipeline = head.api.pipeline(deadline).await?;
    if body.rating.is_some_and(|rating| !(1..=5).contains(&rating)) {
        return Err(Problem::bad_field("field `rating`: 1 to 5"));
    }
    let comments = text::either(("comments", body.comments), ("comment", body.comment))?;
    let says_nothing =
        body.rating.is_none() && body.thumb.is_none() && comments.is_none() && body.signal.is_none();
    if says_nothing {
        return Err(Problem::bad_field("send at least one of `rating`, `thumb`, `comments`, `signal`"));
    }
    let kind = text::either(("feedback_type", body.feedback_type), ("type", body.kind))?;
    let feedback = Feedback {
        id: pipeline.new_feedback_id(),
        interaction: InteractionId::from(text::non_empty("interaction_id", body.interaction_id)?),
        session: text::name("session_id", body.session_id)?.map(SessionId::from),
        kind: match kind {
            Some(KindBody::Implicit) => FeedbackKind::Implicit,
            Some(KindBody::Explicit) | None => FeedbackKind::Explicit,
        },
        rating: body.rating,
        thumb: body.thumb.map(|thumb| match thumb {
            ThumbBody::Up => Thumb::Up,
            ThumbBody::Down => Thumb::Down,
        }),
        comments,
        signal: text::name("signal", body.signal)?,
        metadata: text::metadata(body.metadata),
        at: head.api.clock.wall(),
    };
    let interaction = feedback.interaction.clone();
    match pipeline.collect_feedback(head.caller.scope(), feedback).await? {
        Taken::Kept(id) => {
            Ok((StatusCode::CREATED, Json(json!({ "feedback_id": id.as_str() }))).into_response())
        }
        Taken::UnknownInteraction => {
            Err(Problem::not_found(format!("there is no interaction `{interaction}`")))
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParameters {
    session_id: Option<String>,
    interaction_id: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    head: Head,
    Parameters(parameters): Parameters<ListParameters>,
) -> Result<Response, Problem> {
    let filter = FeedbackFilter {
        tenant: head.caller.scope().cloned(),
        session: parameters.session_id.map(SessionId::from),
        interaction: parameters.interaction_id.map(InteractionId::from),
        since: parameters.since.map(|since| since_parameter(&since)).transpose()?,
        limit: limit_parameter(parameters.limit)?,
    };
    let pipeline = head.pipeline().await?;
    let listed = pipeline.list_feedback(filter).await?;
    let listed = listed.iter().map(entry).collect::<Vec<_>>();
    Ok(Json(json!({ "feedback": listed })).into_response())
}

fn entry(feedback: &Feedback) -> Value {
    json!({
        "feedback_id": feedback.id.as_str(),
        "interaction_id": feedback.interaction.as_str(),
        "session_id": feedback.session.as_ref().map(SessionId::as_str),
        "feedback_type": match feedback.kind {
            FeedbackKind::Explicit => "explicit",
            FeedbackKind::Implicit => "implicit",
        },
        "rating": feedback.rating,
        "thumb": feedback.thumb.map(|thumb| match thumb {
            Thumb::Up => "up",
            Thumb::Down => "down",
        }),
        "comments": feedback.comments,
        "signal": feedback.signal,
        "metadata": feedback.metadata.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()),
        "timestamp": feedback.at.rfc3339(),
    })
}
