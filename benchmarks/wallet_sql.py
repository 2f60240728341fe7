"""What DuckDB is asked for, over the flows of a lake: the baselines of the replay.

``AS_OF_EACH_FLOW`` has, for the sender and the receiver of every flow, what the features are made
of as far as SQL can say it, as of the flow: counts, sums, the largest, first and last seen, the
longest gap, distinct counterparties, counts and sums of the last hour and day. It is written to
Parquet, as ours is. There is no ratio to a token's distribution in it, no model and no rule.
``BARE`` is four aggregates for each wallet at the end: about the least that any answer costs.
"""

from __future__ import annotations

from typing import Final

AS_OF_EACH_FLOW: Final = """
COPY (
    WITH flows AS (
        SELECT row_number() OVER () AS flow, block_timestamp AS seconds,
            from_address, to_address,
            CASE WHEN kind = 0 THEN value_f64 ELSE 0 END AS coins
        FROM '{source}'
    ), sides AS (
        SELECT flow, seconds, true AS pays, from_address AS wallet, to_address AS peer, coins
        FROM flows
        UNION ALL
        SELECT flow, seconds, false, to_address, from_address, coins FROM flows
    ), marked AS (
        SELECT *,
            seconds - lag(seconds) OVER (PARTITION BY wallet ORDER BY flow) AS gap,
            row_number() OVER (PARTITION BY wallet, peer, pays ORDER BY flow) = 1 AS is_new
        FROM sides
    ), told AS (
        SELECT flow, pays,
            count(*) FILTER (pays) OVER so_far AS sent,
            count(*) FILTER (NOT pays) OVER so_far AS received,
            sum(coins) FILTER (pays) OVER so_far AS coins_out,
            sum(coins) FILTER (NOT pays) OVER so_far AS coins_in,
            max(coins) OVER so_far AS largest,
            min(seconds) OVER so_far AS first_seen,
            max(seconds) OVER so_far AS last_seen,
            max(gap) OVER so_far AS longest_gap,
            count(*) FILTER (pays AND is_new) OVER so_far AS fan_out,
            count(*) FILTER (NOT pays AND is_new) OVER so_far AS fan_in,
            count(*) OVER an_hour AS hour_events, sum(coins) OVER an_hour AS hour_coins,
            count(*) OVER a_day AS day_events, sum(coins) OVER a_day AS day_coins
        FROM marked
        WINDOW so_far AS (PARTITION BY wallet ORDER BY flow
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            an_hour AS (PARTITION BY wallet ORDER BY seconds
                RANGE BETWEEN 3600 PRECEDING AND CURRENT ROW),
            a_day AS (PARTITION BY wallet ORDER BY seconds
                RANGE BETWEEN 86400 PRECEDING AND CURRENT ROW)
    )
    SELECT flow, sender.* EXCLUDE (flow, pays), receiver.* EXCLUDE (flow, pays)
    FROM (SELECT * FROM told WHERE pays) sender
        JOIN (SELECT * FROM told WHERE NOT pays) receiver USING (flow)
    ORDER BY flow
) TO '{target}' (FORMAT parquet, COMPRESSION zstd)
"""

BARE: Final = """
COPY (
    WITH sides AS (
        SELECT from_address AS wallet, value_f64, block_timestamp FROM '{source}'
        UNION ALL
        SELECT to_address, value_f64, block_timestamp FROM '{source}'
    )
    SELECT wallet, count(*), sum(value_f64), max(value_f64), min(block_timestamp)
    FROM sides GROUP BY wallet
) TO '{target}' (FORMAT parquet, COMPRESSION zstd)
"""
