-- FitFashionMart, step 3 of 9: how well do the local models separate their customers?
--
-- silhouette runs from -1 to 1; above 0.5 the clusters are well apart. smallest_cluster is where to look for anomalies.

-- ComfortWearCo's model on ComfortWearCo's customers.
SELECT * FROM model_evaluate(comfort_wear_anomalies, 1,
    SELECT order_value_z, orders_z, lifetime_z, recency_z
    FROM store_features
    WHERE store_id = 'comfort_wear_store_view');

-- SportStyleShop's model on SportStyleShop's customers.
SELECT * FROM model_evaluate(sporty_style_anomalies, 1,
    SELECT order_value_z, orders_z, lifetime_z, recency_z
    FROM store_features
    WHERE store_id = 'sporty_style_store_view');
