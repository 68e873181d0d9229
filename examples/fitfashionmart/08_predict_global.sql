-- FitFashionMart, step 8 of 9: every customer of both stores under the global model.

CREATE OR REPLACE TEMP TABLE global_clusters AS
SELECT * FROM model_predict(global_anomalies, 1,
    SELECT * FROM store_features);

-- A cluster number now means the same in both stores.
SELECT
    store_id,
    prediction,
    COUNT(*) AS cluster_size,
    ROUND(AVG(order_value_z), 2) AS order_value_z,
    ROUND(AVG(orders_z), 2) AS orders_z,
    ROUND(AVG(lifetime_z), 2) AS lifetime_z,
    ROUND(AVG(recency_z), 2) AS recency_z
FROM global_clusters
GROUP BY store_id, prediction
ORDER BY store_id, prediction;
