//! Statements over arrays of rows, prepared once a connection: diesel's `sql_query` is prepared
//! again each time.

use std::marker::PhantomData;

use diesel::{
    Expression, QueryResult, Selectable,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::Error,
    sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text},
};

use super::super::{errors::unwritable_text, rows::Column};

/// The SQL types of the columns of a row.
pub(super) type SqlOf<R> = <<R as Selectable<Pg>>::SelectExpression as Expression>::SqlType;

/// The server's clock in microseconds; unlike `now()` it moves within a transaction.
pub(super) const CLOCK: &str = "(extract(epoch from clock_timestamp()) * 1000000)::bigint";

/// The server's clock at the beginning of the statement, which an index can be searched by.
pub(super) const NOW: &str = "(extract(epoch from statement_timestamp()) * 1000000)::bigint";

/// An SQL text in which each `?` stands for one array. `Name` makes the statement known to the
/// connection's cache, so that one name is one text; `Returns` is the type of its rows.
#[derive(Debug)]
pub(super) struct Statement<'a, Name, Returns> {
    sql: &'a str,
    columns: Vec<Column<'a>>,
    kind: PhantomData<fn() -> (Name, Returns)>,
}

impl<'a, Name, Returns> Statement<'a, Name, Returns> {
    pub(super) fn new(sql: &'a str, columns: Vec<Column<'a>>) -> Self {
        Self {
            sql,
            columns,
            kind: PhantomData,
        }
    }
}

/// Whether PostgreSQL can take all these cells.
pub(super) fn check(columns: &[Column<'_>]) -> Result<(), Error> {
    let has_nul = |cell: &Option<&str>| cell.is_some_and(|text| text.contains('\0'));
    let is_bad = |column: &Column<'_>| match column {
        Column::Text(cells) => cells.iter().any(has_nul),
        _ => false,
    };
    match columns.iter().any(is_bad) {
        true => Err(unwritable_text()),
        false => Ok(()),
    }
}

impl<Name: 'static, Returns: 'static> QueryId for Statement<'_, Name, Returns> {
    type QueryId = Statement<'static, Name, Returns>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Name, Returns> Query for Statement<'_, Name, Returns> {
    type SqlType = Returns;
}

impl<Name, Returns> QueryFragment<Pg> for Statement<'_, Name, Returns> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut columns = self.columns.iter();
        for (place, part) in self.sql.split('?').enumerate() {
            if place > 0
                && let Some(column) = columns.next()
            {
                bind(column, &mut out)?;
            }
            out.push_sql(part);
        }
        Ok(())
    }
}

fn bind<'b>(column: &'b Column<'b>, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    match column {
        Column::Text(cells) => out.push_bind_param::<Array<Nullable<Text>>, _>(cells),
        Column::BigInt(cells) => out.push_bind_param::<Array<Nullable<BigInt>>, _>(cells),
        Column::Integer(cells) => out.push_bind_param::<Array<Nullable<Integer>>, _>(cells),
        Column::SmallInt(cells) => out.push_bind_param::<Array<Nullable<SmallInt>>, _>(cells),
        Column::Bool(cells) => out.push_bind_param::<Array<Nullable<Bool>>, _>(cells),
        Column::Binary(cells) => out.push_bind_param::<Array<Nullable<Binary>>, _>(cells),
    }
}

/// `unnest(?, ?, …) as name (a, b, …)`: the rows that were bound.
pub(super) fn unnest(name: &str, columns: &[&str]) -> String {
    let marks = vec!["?"; columns.len()].join(", ");
    format!("unnest({marks}) as {name} ({})", columns.join(", "))
}

/// `name.a, name.b, …`.
pub(super) fn listed(name: &str, columns: &[&str]) -> String {
    let columns: Vec<_> = columns.iter().map(|one| format!("{name}.{one}")).collect();
    columns.join(", ")
}

/// `a = name.a, b = name.b, …`.
pub(super) fn assigned(name: &str, columns: &[&str]) -> String {
    let columns: Vec<_> = (columns.iter().map(|one| format!("{one} = {name}.{one}"))).collect();
    columns.join(", ")
}
