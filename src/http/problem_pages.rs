//! `GET /problems/{code}`: where the `type` of a problem leads.

use actix_web::{HttpResponse, web};

use super::problem::Refused;
use crate::payment::ProblemCode;

pub(super) async fn problem_page(code: web::Path<String>) -> Result<HttpResponse, Refused> {
    let problem = ProblemCode::ALL
        .iter()
        .find(|problem| problem.as_str() == code.as_str());
    let problem = problem.ok_or_else(Refused::not_found)?;
    // Every text here is our own; nothing of the request goes into the page.
    let (title, help) = (problem.title(), problem.help());
    let (code, status) = (problem.as_str(), problem.status());
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title} - oncepay</title>\
         <h1>{title}</h1><p><code>{code}</code>, HTTP status {status}</p><p>{help}</p></html>\n"
    )))
}
