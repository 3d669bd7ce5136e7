-- The first settings that a meter was ever asked about, in one atomic step. KEYS[1]: the meter's set. ARGV: a setting, which joins
-- them if there is room, and the most of them.
if redis.call('SCARD', KEYS[1]) < tonumber(ARGV[2]) then redis.call('SADD', KEYS[1], ARGV[1]) end
return redis.call('SMEMBERS', KEYS[1])
