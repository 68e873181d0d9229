-- One model over three countries whose stores keep their customers to themselves.
CREATE SILO united_kingdom OPTIONS (subject = 'united_kingdom');
CREATE SILO germany OPTIONS (subject = 'germany');
CREATE SILO france OPTIONS (subject = 'france');

-- Each store standardises by all stores' mean and deviation, clusters its own customers into three, and sends what these
-- clusters add up to: customers, sums, sums of squares. The coordinator clusters these.
CREATE FEDERATED MODEL shoppers
TRANSFORM (
    vector_assembler(array(log_order_value, log_orders, customer_lifetime)) features,
    standard_scaler(features, true, true) scaled
)
OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3, LOCAL_CLUSTERS = 3, TIMEOUT = 120)
OVER SILOS (united_kingdom, germany, france)
AS SELECT log_order_value, log_orders, customer_lifetime FROM customer_features;

-- What kinds of customers there are.
SELECT * FROM model_centroids(shoppers, 1) ORDER BY cluster_size DESC;

-- How well the model fits each store; worked out there.
SELECT * FROM federated_evaluate(shoppers, 1) ORDER BY silo;

-- What left the stores.
SHOW EGRESS FOR MODEL shoppers;
