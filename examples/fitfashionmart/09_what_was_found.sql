-- FitFashionMart, step 9 of 9: what was found, and what each store would have missed on its own.
--
-- The demo's events are made up, so the truth is known: planted_anomalies names every customer who is not ordinary.
-- Real data has no such table; leave this step out there.

-- Every customer with both predictions, the true kind, and how common each predicted cluster is.
CREATE OR REPLACE TEMP TABLE judged AS
SELECT
    mine.customer_id,
    mine.store_id,
    COALESCE(planted.kind, 'ordinary') AS kind,
    mine.prediction AS local_prediction,
    ours.prediction AS global_prediction,
    COUNT(*) OVER (PARTITION BY mine.store_id, mine.prediction) / COUNT(*) OVER (PARTITION BY mine.store_id)
        AS local_share,
    COUNT(*) OVER (PARTITION BY ours.prediction) / COUNT(*) OVER () AS global_share
FROM (
    SELECT customer_id, store_id, prediction FROM comfort_wear_clusters
    UNION ALL
    SELECT customer_id, store_id, prediction FROM sporty_style_clusters
) AS mine
JOIN global_clusters AS ours
    ON mine.customer_id = ours.customer_id AND mine.store_id = ours.store_id
LEFT JOIN planted_anomalies AS planted
    ON mine.customer_id = planted.customer_id AND mine.store_id = planted.store_id;

-- Who is in which global cluster?
SELECT
    global_prediction,
    store_id,
    kind,
    COUNT(*) AS customers
FROM judged
GROUP BY global_prediction, store_id, kind
ORDER BY global_prediction, store_id, customers DESC, kind;

-- Call a cluster anomalous if fewer than 5 % of the customers are in it. Of each kind, how many were flagged by the
-- store's own model, and how many by the global one? Anomalies that are rare in one store but common in the other are
-- what the global model adds.
SELECT
    store_id,
    kind,
    COUNT(*) AS customers,
    SUM(CASE WHEN local_share < 0.05 THEN 1 ELSE 0 END) AS flagged_locally,
    SUM(CASE WHEN global_share < 0.05 THEN 1 ELSE 0 END) AS flagged_globally
FROM judged
GROUP BY store_id, kind
ORDER BY store_id, customers DESC, kind;
