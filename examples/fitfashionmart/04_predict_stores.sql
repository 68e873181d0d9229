-- FitFashionMart, step 4 of 9: which cluster is each customer in, and what is each cluster like?
--
-- model_predict keeps every column of its query (so customer_id stays with the row) and adds prediction. A temporary
-- table lasts until the session ends: run the steps in one go.

CREATE OR REPLACE TEMP TABLE comfort_wear_clusters AS
SELECT * FROM model_predict(comfort_wear_anomalies, 1,
    SELECT * FROM store_features WHERE store_id = 'comfort_wear_store_view');

CREATE OR REPLACE TEMP TABLE sporty_style_clusters AS
SELECT * FROM model_predict(sporty_style_anomalies, 1,
    SELECT * FROM store_features WHERE store_id = 'sporty_style_store_view');

-- Read the profiles in standard deviations: 0 is the store's average customer, 5 is far out.
-- ComfortWearCo's small cluster buys again and again over a long time (orders_z and lifetime_z are high) ...
SELECT
    prediction,
    COUNT(*) AS cluster_size,
    ROUND(AVG(order_value_z), 2) AS order_value_z,
    ROUND(AVG(orders_z), 2) AS orders_z,
    ROUND(AVG(lifetime_z), 2) AS lifetime_z,
    ROUND(AVG(recency_z), 2) AS recency_z
FROM comfort_wear_clusters
GROUP BY prediction
ORDER BY prediction;

-- ... SportStyleShop's spends far more than others, and only just now (order_value_z is high, recency_z low).
SELECT
    prediction,
    COUNT(*) AS cluster_size,
    ROUND(AVG(order_value_z), 2) AS order_value_z,
    ROUND(AVG(orders_z), 2) AS orders_z,
    ROUND(AVG(lifetime_z), 2) AS lifetime_z,
    ROUND(AVG(recency_z), 2) AS recency_z
FROM sporty_style_clusters
GROUP BY prediction
ORDER BY prediction;
