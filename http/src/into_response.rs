//! What a handler may return.

use std::io;

use bytes::Bytes;

use crate::{Body, BodyError, HeaderValue, Response, StatusCode, header};

/// What becomes a [`Response`].
///
/// A text becomes `200 OK` with its type, bytes become one without, a [`StatusCode`] becomes an answer
/// with its reason as the text. Of a `Result`, the error becomes an answer too: an [`io::Error`] is a
/// client's fault where it says that the request's body is too large or broken, and our own (500, and a
/// line on standard error) else.
///
/// ```
/// use evy_http::{IntoResponse, StatusCode};
///
/// assert_eq!("hello".into_response().status(), StatusCode::OK);
/// assert_eq!(StatusCode::NOT_FOUND.into_response().status(), StatusCode::NOT_FOUND);
/// assert_eq!((StatusCode::CREATED, "made").into_response().status(), StatusCode::CREATED);
/// ```
pub trait IntoResponse {
    /// Makes a response of it.
    ///
    /// ```
    /// use evy_http::IntoResponse;
    ///
    /// let response = String::from("hello").into_response();
    /// assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    /// ```
    ///
    /// # Yields
    ///
    /// Never.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(Body::empty())
    }
}

fn text(body: Body) -> Response {
    let mut response = Response::new(body);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        text(self.into())
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        text(self.into())
    }
}

impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        Response::new(self.into())
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::new(self.into())
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::new(self.into())
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        let mut response = match self.canonical_reason() {
            Some(reason) if !self.is_informational() && !has_no_body(self) => {
                text(format!("{reason}\n").into())
            }
            _ => Response::new(Body::empty()),
        };
        *response.status_mut() = self;
        response
    }
}

/// Whether an answer of this status never has a body.
pub(crate) fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        *response.status_mut() = self.0;
        response
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        (self.status(), format!("{self}\n")).into_response()
    }
}

impl IntoResponse for io::Error {
    fn into_response(self) -> Response {
        match self.get_ref().and_then(|error| error.downcast_ref::<BodyError>()) {
            Some(error) => error.into_response(),
            None => {
                crate::core::tell(format_args!("a handler of HTTP has failed: {self}"));
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
