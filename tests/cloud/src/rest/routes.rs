//! A router that can be asked for what is in it, so that the document can be checked against it.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    routing::{MethodRouter, delete, get, post, put},
};

use crate::state::Shared;

/// Routes with their methods and paths.
#[derive(Default)]
pub(super) struct Routes {
    pub(super) router: Router<Arc<Shared>>,
    #[cfg(test)]
    pub(super) listed: Vec<(&'static str, &'static str)>,
}

impl Routes {
    pub(super) fn get<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, Arc<Shared>>,
    ) -> Self {
        self.with("get", path, get(handler))
    }

    pub(super) fn post<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, Arc<Shared>>,
    ) -> Self {
        self.with("post", path, post(handler))
    }

    pub(super) fn put<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, Arc<Shared>>,
    ) -> Self {
        self.with("put", path, put(handler))
    }

    pub(super) fn delete<T: 'static>(
        self,
        path: &'static str,
        handler: impl Handler<T, Arc<Shared>>,
    ) -> Self {
        self.with("delete", path, delete(handler))
    }

    fn with(
        mut self,
        method: &'static str,
        path: &'static str,
        handler: MethodRouter<Arc<Shared>>,
    ) -> Self {
        self.router = self.router.route(path, handler);
        #[cfg(test)]
        self.listed.push((method, path));
        #[cfg(not(test))]
        let _ = method;
        self
    }
}
