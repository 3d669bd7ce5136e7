-- A leak meter that does not exist yet begins with what it holds under its former name. KEYS: the set of all meters, the meter, the former.
if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('EXISTS', KEYS[3]) == 0 then return 0 end
redis.call('HSET', KEYS[2], unpack(redis.call('HGETALL', KEYS[3])))
return redis.call('SADD', KEYS[1], KEYS[2])
