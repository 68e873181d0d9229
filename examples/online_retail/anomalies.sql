-- Online Retail: which customers stand out, each measured against his or her own country?
--
-- Run it on the events that encode.py made without --two-stores, with $start_date = 2010-12-01 and
-- $end_date = 2011-12-10. Every country is a store. README.md shows the commands.

-- Four features per customer and country. An order's worth is the sum of its lines.
CREATE OR REPLACE TABLE retail_customers AS
SELECT
    identityMap['ECID'][0].id AS customer_id,
    web.webPageDetails.storeCode AS store_id,
    AVG(commerce.`order`.priceTotal) AS avg_order_value,
    COUNT(*) AS total_orders,
    DATEDIFF(MAX(timestamp), MIN(timestamp)) AS customer_lifetime,
    DATEDIFF($end_date, MAX(timestamp)) AS days_since_last_purchase
FROM hbi_web_events_v1
WHERE commerce.`order`.purchaseID IS NOT NULL
  AND timestamp BETWEEN $start_date AND $end_date
GROUP BY identityMap['ECID'][0].id, web.webPageDetails.storeCode;

-- What is usual in each country. A country with few customers has no "usual": leave it out.
CREATE OR REPLACE TABLE retail_moments AS
SELECT
    store_id,
    AVG(avg_order_value) AS mean_avg_order_value,
    STDDEV(avg_order_value) AS stddev_avg_order_value,
    AVG(total_orders) AS mean_total_orders,
    STDDEV(total_orders) AS stddev_total_orders,
    AVG(customer_lifetime) AS mean_customer_lifetime,
    STDDEV(customer_lifetime) AS stddev_customer_lifetime,
    AVG(days_since_last_purchase) AS mean_days_since_last_purchase,
    STDDEV(days_since_last_purchase) AS stddev_days_since_last_purchase
FROM retail_customers
GROUP BY store_id
HAVING COUNT(*) >= 20;

CREATE OR REPLACE TABLE retail_features AS
SELECT
    customer.customer_id,
    customer.store_id,
    (customer.avg_order_value - store.mean_avg_order_value) / store.stddev_avg_order_value AS order_value_z,
    (customer.total_orders - store.mean_total_orders) / store.stddev_total_orders AS orders_z,
    (customer.customer_lifetime - store.mean_customer_lifetime) / store.stddev_customer_lifetime AS lifetime_z,
    (customer.days_since_last_purchase - store.mean_days_since_last_purchase)
        / store.stddev_days_since_last_purchase AS recency_z
FROM retail_customers AS customer
JOIN retail_moments AS store ON customer.store_id = store.store_id;

-- One model for all of them. Every customer is measured against his or her own country, so that countries with thirty
-- customers, too few for a model of their own, can be judged beside the thousands of the United Kingdom. Purchases have
-- heavy tails: six clusters leave room for single customers far away from all others.
CREATE OR REPLACE MODEL retail_anomalies
TRANSFORM (vector_assembler(array(order_value_z, orders_z, lifetime_z, recency_z)) AS features)
OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 6, SEED = 2)
AS
SELECT order_value_z, orders_z, lifetime_z, recency_z
FROM retail_features;

-- How well does it separate all customers, and how well the German ones?
SELECT 'all countries' AS customers, e.*
FROM model_evaluate(retail_anomalies, 1, SELECT * FROM retail_features) AS e
UNION ALL
SELECT 'Germany' AS customers, e.*
FROM model_evaluate(retail_anomalies, 1,
    SELECT * FROM retail_features WHERE store_id = 'germany_store_view') AS e;

-- Every customer's cluster, and how common that cluster is.
CREATE OR REPLACE TEMP TABLE retail_judged AS
SELECT
    p.*,
    COUNT(*) OVER (PARTITION BY p.prediction) / COUNT(*) OVER () AS share
FROM model_predict(retail_anomalies, 1, SELECT * FROM retail_features) AS p;

-- What are the clusters like? One holds customers who order again and again, and have done so just now.
SELECT
    prediction,
    COUNT(*) AS cluster_size,
    ROUND(AVG(order_value_z), 2) AS order_value_z,
    ROUND(AVG(orders_z), 2) AS orders_z,
    ROUND(AVG(lifetime_z), 2) AS lifetime_z,
    ROUND(AVG(recency_z), 2) AS recency_z
FROM retail_judged
GROUP BY prediction
ORDER BY prediction;

-- Call a cluster with fewer than 5 % of the customers anomalous. Where are they?
SELECT
    store_id,
    COUNT(*) AS customers,
    SUM(CASE WHEN share < 0.05 THEN 1 ELSE 0 END) AS anomalous
FROM retail_judged
GROUP BY store_id
ORDER BY customers DESC, store_id;

-- Who are they? The rarest first: two of them ordered tens of thousands of pieces and sent them back within minutes.
SELECT
    judged.store_id,
    judged.customer_id,
    judged.prediction,
    ROUND(customer.avg_order_value, 2) AS avg_order_value,
    customer.total_orders,
    customer.customer_lifetime,
    customer.days_since_last_purchase
FROM retail_judged AS judged
JOIN retail_customers AS customer
    ON judged.customer_id = customer.customer_id AND judged.store_id = customer.store_id
WHERE judged.share < 0.05
ORDER BY judged.share, customer.avg_order_value DESC, judged.customer_id
LIMIT 30;
