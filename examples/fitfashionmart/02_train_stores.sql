-- FitFashionMart, step 2 of 9: each store trains its own model on its own customers.
--
-- Bisecting k-means cuts the customers in two, then the more uneven part in two again, until there are NUM_CLUSTERS.
-- Few customers far from all others end up in a small cluster of their own. TRANSFORM names the columns to train on;
-- SEED makes the result repeatable. OR REPLACE lets you run this file again after an edit.

CREATE OR REPLACE MODEL comfort_wear_anomalies
TRANSFORM (
    vector_assembler(array(order_value_z, orders_z, lifetime_z, recency_z)) AS features
)
OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3, SEED = 2)
AS
SELECT order_value_z, orders_z, lifetime_z, recency_z
FROM store_features
WHERE store_id = 'comfort_wear_store_view';

CREATE OR REPLACE MODEL sporty_style_anomalies
TRANSFORM (
    vector_assembler(array(order_value_z, orders_z, lifetime_z, recency_z)) AS features
)
OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3, SEED = 2)
AS
SELECT order_value_z, orders_z, lifetime_z, recency_z
FROM store_features
WHERE store_id = 'sporty_style_store_view';
