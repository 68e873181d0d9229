-- FitFashionMart, step 5 of 9: what each store hands over for the global model.
--
-- Not its customers: three rows per store, one per cluster, with its size and its mean features. The features keep
-- their names, so that the global model will find them in any store.

CREATE OR REPLACE TABLE store_aggregates AS
SELECT
    'comfort_wear_store_view' AS store_id,
    prediction AS local_prediction,
    COUNT(*) AS cluster_size,
    AVG(order_value_z) AS order_value_z,
    AVG(orders_z) AS orders_z,
    AVG(lifetime_z) AS lifetime_z,
    AVG(recency_z) AS recency_z
FROM comfort_wear_clusters
GROUP BY prediction
UNION ALL
SELECT
    'sporty_style_store_view' AS store_id,
    prediction AS local_prediction,
    COUNT(*) AS cluster_size,
    AVG(order_value_z) AS order_value_z,
    AVG(orders_z) AS orders_z,
    AVG(lifetime_z) AS lifetime_z,
    AVG(recency_z) AS recency_z
FROM sporty_style_clusters
GROUP BY prediction;

-- This is all that the global model gets to see.
SELECT * FROM store_aggregates ORDER BY store_id, local_prediction;
