//! Endpoints that are described by their handlers: what a handler takes and answers, as its types say, is what the OpenAPI
//! document says of it. A handler whose answer has no [`Answer`] does not compile.

use std::any::type_name;
use std::collections::BTreeMap;
use std::future::Future;

use axum::extract::{Path, State};
use axum::handler::Handler;
use axum::response::{IntoResponse, NoContent, Response};
use axum::routing::{MethodFilter, on};
use axum::{Extension, Json, Router};
use http::header::HeaderName;
use http::{StatusCode, Uri};
use serde::Serialize;
use strata_hub::Hub;
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Components, Content, Info, OpenApi, Paths, Ref, RefOr, Required, ResponseBuilder};

use crate::identity::{Client, MaybeSigned, Signed};
use crate::input::{Input, Page, Query};
use crate::output::List;

const JSON: &str = "application/json";

type Schemas = Vec<(String, RefOr<Schema>)>;

/// Endpoints, and what is to be said of them.
pub(crate) struct Endpoints {
    tag: &'static str,
    router: Router<Hub>,
    paths: Paths,
    schemas: Schemas,
}

impl Endpoints {
    /// No endpoints yet; those to come are about this.
    pub(crate) fn about(tag: &'static str) -> Endpoints {
        Endpoints { tag, router: Router::new(), paths: Paths::new(), schemas: Schemas::new() }
    }

    /// Adds those of another family.
    pub(crate) fn merge(mut self, other: Endpoints) -> Endpoints {
        self.router = self.router.merge(other.router);
        self.paths.merge(other.paths);
        self.schemas.extend(other.schemas);
        self
    }

    /// What answers.
    pub(crate) fn into_router(self) -> Router<Hub> {
        self.router
    }

    /// The description: an OpenAPI document.
    pub(crate) fn into_document(self, info: Info) -> OpenApi {
        let mut document = OpenApi::new(info, self.paths);
        let mut components = Components::new();
        components.schemas = self.schemas.into_iter().collect::<BTreeMap<_, _>>();
        document.components = Some(components);
        document
    }

    #[cfg(test)]
    pub(crate) fn schemas(&self) -> &[(String, RefOr<Schema>)] {
        &self.schemas
    }

    /// Adds an endpoint, with and without a slash at the end.
    fn with<H, T, A>(mut self, (method, filter): (HttpMethod, MethodFilter), path: &str, what: &str, handler: H) -> Self
    where
        H: Handler<T, Hub> + Described<A>,
        T: 'static,
    {
        let mut draft = Draft { operation: OperationBuilder::new().tag(self.tag).summary(Some(what)), schemas: vec![] };
        for name in placeholders(path) {
            draft = draft.parameter(ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path));
        }
        let draft = H::describe(draft);
        self.schemas.extend(draft.schemas);
        self.paths.add_path_operation(path.replace("{*", "{"), vec![method], draft.operation);
        if !path.contains("{*") {
            self.router = self.router.route(&format!("{path}/"), on(filter, handler.clone()));
        }
        self.router = self.router.route(path, on(filter, handler));
        self
    }
}

fn placeholders(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*'))
}

macro_rules! methods {
    ($($name:ident $method:ident $filter:ident;)*) => {
        impl Endpoints {
            $(pub(crate) fn $name<H, T, A>(self, path: &str, what: &str, handler: H) -> Endpoints
            where
                H: Handler<T, Hub> + Described<A>,
                T: 'static,
            {
                self.with((HttpMethod::$method, MethodFilter::$filter), path, what, handler)
            })*
        }
    };
}

methods! {
    get Get GET;
    post Post POST;
    put Put PUT;
    patch Patch PATCH;
    delete Delete DELETE;
}

/// The description of an endpoint in the making.
pub(crate) struct Draft {
    operation: OperationBuilder,
    schemas: Schemas,
}

impl Draft {
    fn parameter(mut self, parameter: impl Into<Parameter>) -> Draft {
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// Types with parameters stand where they are used; others have a name.
    fn content<T: ToSchema>(&mut self) -> Content {
        if type_name::<T>().contains('<') {
            T::schemas(&mut self.schemas);
            return Content::new(Some(T::schema()));
        }
        self.name::<T>();
        Content::new(Some(Ref::from_schema_name(T::name())))
    }

    /// Gives a type, and what it is made of, names that documents refer to.
    fn name<T: ToSchema>(&mut self) {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
    }

    /// A document that is asked with.
    pub(crate) fn takes<T: ToSchema>(mut self, media_type: &str) -> Draft {
        let content = self.content::<T>();
        let body = RequestBodyBuilder::new().content(media_type, content).required(Some(Required::True));
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// An answer that is a document.
    pub(crate) fn answers<T: ToSchema>(mut self, status: &str, what: &str) -> Draft {
        let content = self.content::<T>();
        self.operation =
            self.operation.response(status, ResponseBuilder::new().description(what).content(JSON, content));
        self
    }

    fn answers_nothing(mut self, status: &str) -> Draft {
        self.operation = self.operation.response(status, ResponseBuilder::new().description("Done"));
        self
    }
}

/// A handler, by the types of what it takes and answers.
pub(crate) trait Described<Arguments> {
    fn describe(draft: Draft) -> Draft;
}

macro_rules! described {
    ($($argument:ident)*) => {
        impl<F, Answering, A, $($argument),*> Described<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Answering,
            Answering: Future<Output = A>,
            A: Answer,
            $($argument: Taken,)*
        {
            fn describe(draft: Draft) -> Draft {
                $(let draft = $argument::describe(draft);)*
                A::describe(draft)
            }
        }
    };
}

described!();
described!(A1);
described!(A1 A2);
described!(A1 A2 A3);
described!(A1 A2 A3 A4);
described!(A1 A2 A3 A4 A5);
described!(A1 A2 A3 A4 A5 A6);

/// What a handler takes from a request. Nothing is said of what is in the path, or in headers, or asked for freely.
pub(crate) trait Taken {
    fn describe(draft: Draft) -> Draft {
        draft
    }
}

impl Taken for State<Hub> {}
impl<T> Taken for Extension<T> {}
impl<T> Taken for Path<T> {}
impl Taken for Client {}
impl Taken for Uri {}
impl Taken for Query {}
impl Taken for MaybeSigned {}
impl Taken for Signed {}

impl<T: ToSchema> Taken for Input<T> {
    fn describe(draft: Draft) -> Draft {
        draft.takes::<T>(JSON)
    }
}

impl Taken for Page {
    fn describe(draft: Draft) -> Draft {
        ["page", "page_size"].into_iter().fold(draft, |draft, name| {
            draft.parameter(ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query))
        })
    }
}

impl<A: Taken, B: Taken, C: Taken> Taken for (A, B, C) {
    fn describe(draft: Draft) -> Draft {
        C::describe(B::describe(A::describe(draft)))
    }
}

/// What a handler answers.
pub(crate) trait Answer: IntoResponse {
    fn describe(draft: Draft) -> Draft;
}

impl<T: Answer, E: Answer> Answer for Result<T, E> {
    fn describe(draft: Draft) -> Draft {
        E::describe(T::describe(draft))
    }
}

impl<T: Serialize + ToSchema> Answer for Json<T> {
    fn describe(draft: Draft) -> Draft {
        draft.answers::<T>("200", "Success")
    }
}

/// The description of a list refers to that of its entries.
impl<T: Serialize + ToSchema> Answer for List<T> {
    fn describe(mut draft: Draft) -> Draft {
        draft.name::<T>();
        draft.answers::<List<T>>("200", "Success")
    }
}

impl<T: Answer> Answer for ([(HeaderName, &'static str); 1], T) {
    fn describe(draft: Draft) -> Draft {
        T::describe(draft)
    }
}

impl Answer for NoContent {
    fn describe(draft: Draft) -> Draft {
        draft.answers_nothing("204")
    }
}

/// Something was made: this.
pub(crate) struct Created<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: Serialize + ToSchema> Answer for Created<T> {
    fn describe(draft: Draft) -> Draft {
        draft.answers::<T>("201", "Made")
    }
}

/// It will be done, without anything to read.
pub(crate) struct Accepted;

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        StatusCode::ACCEPTED.into_response()
    }
}

impl Answer for Accepted {
    fn describe(draft: Draft) -> Draft {
        draft.answers_nothing("202")
    }
}
