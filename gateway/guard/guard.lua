-- A charge to a leak meter that never refills, in one atomic step. KEYS[1]: a hash with the fields scalars and answers.
-- ARGV: scalars, answers, and the most of each. A part that is not charged is not checked. What is given back is negative;
-- no meter goes below zero, though Redis may have forgotten what was taken.
local names = {'scalars', 'answers'}
for i, name in ipairs(names) do
    local more = tonumber(ARGV[i])
    if more > 0 and tonumber(redis.call('HGET', KEYS[1], name) or 0) + more > tonumber(ARGV[i + 2]) then return 0 end
end
for i, name in ipairs(names) do
    if redis.call('HINCRBY', KEYS[1], name, ARGV[i]) < 0 then redis.call('HSET', KEYS[1], name, 0) end
end
redis.call('SADD', KEYS[2], KEYS[1])
return 1
