-- FitFashionMart, step 6 of 9: the global model, trained on the stores' aggregates alone.
--
-- WEIGHT_COL lets each row count as many times as it has customers, so that a cluster of thirty thousand outweighs one
-- of a hundred and the centres are those of real customers. Without it six rows count alike, however few customers
-- stand behind some of them. Ordinary customers, who now count for what they are, form clusters of their own (bought
-- lately, bought long ago): four clusters instead of three leave room for the rare ones beside them.
-- The columns that TRANSFORM does not name (store_id, local_prediction) are not trained on.

CREATE OR REPLACE MODEL global_anomalies
TRANSFORM (
    vector_assembler(array(order_value_z, orders_z, lifetime_z, recency_z)) AS features
)
OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 4, SEED = 42, WEIGHT_COL = 'cluster_size')
AS
SELECT store_id, local_prediction, cluster_size, order_value_z, orders_z, lifetime_z, recency_z
FROM store_aggregates;
