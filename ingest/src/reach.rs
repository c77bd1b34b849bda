//! Of which sites a request may see data: those of the token that it showed.

use crate::answer::Refusal;
use crate::tokens::TokenInfo;
use axum::http::StatusCode;
use beckon_engine::model::SiteName;

/// The site of a token, or all; with every request that got past a check for
/// [`Access::SiteToken`](crate::Access).
#[derive(Clone, Debug)]
pub(crate) struct Reach(Option<SiteName>);

impl Reach {
    pub(crate) fn all() -> Self {
        Self(None)
    }

    pub(crate) fn of(token: &TokenInfo) -> Self {
        Self(token.site.clone())
    }

    /// The one site; `None`: all.
    pub(crate) fn site(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Whether data of a site may be seen.
    pub(crate) fn takes(&self, site: &str) -> bool {
        self.site().is_none_or(|it| it == site)
    }

    /// The site that is asked for, within reach; who asks for none gets what is in reach.
    ///
    /// # Errors
    /// 403 for a site out of reach.
    pub(crate) fn narrow(&self, asked: Option<String>) -> Result<Option<String>, Refusal> {
        match asked {
            None => Ok(self.site().map(str::to_owned)),
            Some(site) if self.takes(&site) => Ok(Some(site)),
            Some(site) => {
                let message = format!("the token is not for the site {site:?}");
                let help = "leave the site out, or make a token for it or for all";
                Err(Refusal::new(StatusCode::FORBIDDEN, "other_site", message, help))
            }
        }
    }
}
