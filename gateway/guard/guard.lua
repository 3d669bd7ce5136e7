-- A charge to a leak meter that never refills, in one atomic step. KEYS[1]: the set of all meters. KEYS[2]: the meter, a hash with
-- the fields scalars and answers; after it others that count together with it. ARGV: scalars, answers, and the most of each.
-- A part that is not charged is not checked. What is given back is negative; no meter goes below zero, though Redis may have
-- forgotten what was taken.
local names = {'scalars', 'answers'}
for i, name in ipairs(names) do
    local more, used = tonumber(ARGV[i]), 0
    for k = 2, #KEYS do used = used + tonumber(redis.call('HGET', KEYS[k], name) or 0) end
    if more > 0 and used + more > tonumber(ARGV[i + 2]) then return 0 end
end
for i, name in ipairs(names) do
    if redis.call('HINCRBY', KEYS[2], name, ARGV[i]) < 0 then redis.call('HSET', KEYS[2], name, 0) end
end
redis.call('SADD', KEYS[1], KEYS[2])
return 1
