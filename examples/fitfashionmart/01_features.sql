-- FitFashionMart, step 1 of 9: from events to four features per customer.
--
-- FitFashionMart owns two web stores, ComfortWearCo and SportStyleShop. Everything that customers do there stands in
-- one table of events, hbi_web_events_v1: page views, product views, baskets, checkouts, purchases, credit memos.
-- $start_date and $end_date say which part of it to look at.

-- One row per customer and store. An order counts if it has a number and at least one item with a price above zero:
-- that keeps page views out, and credit memos too, whose prices are negative.
CREATE OR REPLACE TABLE customer_features AS
SELECT
    identityMap['ECID'][0].id AS customer_id,
    web.webPageDetails.storeCode AS store_id,
    AVG(commerce.`order`.priceTotal) AS avg_order_value,  -- productListItems.priceTotal[0] would be the first item only
    COUNT(*) AS total_orders,
    DATEDIFF(MAX(timestamp), MIN(timestamp)) AS customer_lifetime,  -- days between first and last order
    DATEDIFF($end_date, MAX(timestamp)) AS days_since_last_purchase
FROM hbi_web_events_v1
WHERE EXISTS(productListItems, item -> item.priceTotal > 0)
  AND commerce.`order`.purchaseID IS NOT NULL
  AND timestamp BETWEEN $start_date AND $end_date
GROUP BY identityMap['ECID'][0].id, web.webPageDetails.storeCode;

-- What is usual in each store: mean and standard deviation of each feature.
CREATE OR REPLACE TABLE store_moments AS
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
FROM customer_features
GROUP BY store_id;

-- The features in standard deviations from the store's mean, so that dollars, orders and days count alike.
-- The join is ON store_id: every customer is measured against his or her own store. Without it every customer would
-- appear once for each store, measured against strangers.
CREATE OR REPLACE TABLE store_features AS
SELECT
    customer.customer_id,
    customer.store_id,
    (customer.avg_order_value - store.mean_avg_order_value) / store.stddev_avg_order_value AS order_value_z,
    (customer.total_orders - store.mean_total_orders) / store.stddev_total_orders AS orders_z,
    (customer.customer_lifetime - store.mean_customer_lifetime) / store.stddev_customer_lifetime AS lifetime_z,
    (customer.days_since_last_purchase - store.mean_days_since_last_purchase)
        / store.stddev_days_since_last_purchase AS recency_z  -- high: has not bought for long
FROM customer_features AS customer
JOIN store_moments AS store ON customer.store_id = store.store_id;

-- How customers buy, on average.
SELECT
    store_id,
    COUNT(*) AS customers,
    ROUND(AVG(avg_order_value), 2) AS avg_order_value,
    ROUND(AVG(total_orders), 2) AS avg_orders,
    ROUND(AVG(customer_lifetime), 1) AS avg_lifetime_days,
    ROUND(AVG(days_since_last_purchase), 1) AS avg_days_since_last_purchase
FROM customer_features
GROUP BY store_id
ORDER BY store_id;
