-- FitFashionMart, step 7 of 9: the global model goes back to the stores. How well does it separate their customers?

-- The global model on ComfortWearCo's customers.
SELECT * FROM model_evaluate(global_anomalies, 1,
    SELECT order_value_z, orders_z, lifetime_z, recency_z
    FROM store_features
    WHERE store_id = 'comfort_wear_store_view');

-- The global model on SportStyleShop's customers.
SELECT * FROM model_evaluate(global_anomalies, 1,
    SELECT order_value_z, orders_z, lifetime_z, recency_z
    FROM store_features
    WHERE store_id = 'sporty_style_store_view');
