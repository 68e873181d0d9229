-- What each store publishes: three features per customer, worked out from the store's own events.
--
-- The silo runs this query over its own database when a training begins. Every store has the same file: the coordinator
-- compares a hash of it, so that nobody trains on two different things of one name. $start_date and $end_date stand in
-- silo.toml. Logarithms keep one very dear order from being all that a sum tells.
SELECT
    identityMap['ECID'][0].id AS customer_id,
    LN(1 + AVG(commerce.`order`.priceTotal)) AS log_order_value,
    LN(1 + COUNT(*)) AS log_orders,
    DATEDIFF(MAX(timestamp), MIN(timestamp)) AS customer_lifetime  -- days between first and last order
FROM hbi_web_events_v1
WHERE EXISTS(productListItems, item -> item.priceTotal > 0)
  AND commerce.`order`.purchaseID IS NOT NULL
  AND timestamp BETWEEN $start_date AND $end_date
GROUP BY identityMap['ECID'][0].id
