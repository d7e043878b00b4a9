//! What stands in a request's path at the places that its door leaves open.

use axum::extract::FromRequestParts;
use http::request::Parts;
use matchit::Params;
use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// As they were sent, in the door's order; a request carries them among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Sent(Box<[String]>);

impl Sent {
    /// `None` where the door leaves no place open.
    pub(crate) fn of(parameters: &Params<'_, '_>) -> Option<Self> {
        let sent: Box<[_]> = parameters.iter().map(|(_, value)| value.to_owned()).collect();
        (!sent.is_empty()).then_some(Self(sent))
    }
}

/// What stands there, decoded: a text, or two.
pub(crate) struct Path<T>(pub(crate) T);

/// What a door's open places are read as.
pub(crate) trait FromPlaces: Sized {
    /// `None` when there are not as many.
    fn from_places(places: Vec<String>) -> Option<Self>;
}

impl FromPlaces for String {
    fn from_places(places: Vec<String>) -> Option<Self> {
        let [place] = <[String; 1]>::try_from(places).ok()?;
        Some(place)
    }
}

impl FromPlaces for (String, String) {
    fn from_places(places: Vec<String>) -> Option<Self> {
        <[String; 2]>::try_from(places).ok().map(Into::into)
    }
}

impl<S: Send + Sync, T: FromPlaces> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let sent = parts.extensions.get::<Sent>().map(|sent| &*sent.0).unwrap_or_default();
        let places = sent.iter().map(|text| decoded(text)).collect::<Result<_, _>>()?;
        let read = T::from_places(places).map(Self);
        read.ok_or_else(|| Problem::internal("a door reads other places than its path leaves open"))
    }
}

fn decoded(text: &str) -> Result<String, Problem> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| {
        let shown = percent_decode_str(text).decode_utf8_lossy();
        Problem::bad_parameter(format!("the path: `{shown}` is not UTF-8 text"))
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    async fn read<T: FromPlaces>(sent: &[&str]) -> Result<T, String> {
        let mut request = Request::new(());
        let sent = sent.iter().map(|&text| text.to_owned()).collect();
        request.extensions_mut().insert(Sent(sent));
        let (mut parts, ()) = request.into_parts();
        let read = Path::from_request_parts(&mut parts, &()).await;
        read.map(|Path(read)| read).map_err(|problem| problem.json())
    }

    #[tokio::test]
    async fn places_are_decoded_and_what_is_no_text_is_refused() {
        for (sent, want) in [
            ("int_1", Ok("int_1")),
            ("arn%3Aaws%3Abedrock%2Fx", Ok("arn:aws:bedrock/x")),
            ("100%25", Ok("100%")),
            ("%C3%A9", Ok("é")),
            ("%ff", Err("the path: `\u{fffd}` is not UTF-8 text")),
        ] {
            match (read::<String>(&[sent]).await, want) {
                (Ok(read), Ok(want)) => assert_eq!(read, want),
                (Err(told), Err(want)) => assert!(told.contains(want), "{told}"),
                (read, _) => panic!("{sent}: {read:?}"),
            }
        }
        let both = read::<(String, String)>(&["openai", "gpt%2F5"]).await;
        assert_eq!(both, Ok(("openai".to_owned(), "gpt/5".to_owned())));
        assert!(read::<(String, String)>(&["one"]).await.is_err());
    }
}
