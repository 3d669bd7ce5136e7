-- Token budgets of one tenant in one atomic step. The contract is in store.py, the arithmetic in budgets.py.
-- KEYS[1]: what all keys of the tenant begin with, its hash tag included, so that a cluster keeps them on one node.
-- ARGV[1]: the step. ARGV[2]: its arguments as MessagePack, the first of them `now` in seconds, or -1 for Redis's clock.

local base, step, arg = KEYS[1], ARGV[1], cmsgpack.unpack(ARGV[2])
local now = arg[1]
if now < 0 then
    local time = redis.call('TIME')
    now = time[1] + time[2] / 1e6
end
local LEASES, OPEN = base .. 'leases', base .. 'open'
local KEEP_S, NEVER, REAPED_AT_ONCE = 86400, -1, 100

local function rate(claim) return claim.refill == 'smooth' and claim.limit / claim.period or 0 end
local function window(claim, at) return math.floor(at / claim.period) end

local function named(raw)
    local claims = {}
    for i, claim in ipairs(raw) do
        claims[i] = {meter = claim[1], limit = claim[2], period = claim[3], refill = claim[4]}
    end
    return claims
end

-- What is used of a claim now, and as of when it is told.
local function level(claim)
    local raw = redis.call('GET', base .. 'm:' .. claim.meter)
    local used, at = 0, 0
    if raw then used, at = cmsgpack.unpack(raw) end
    if claim.refill == 'smooth' then
        used = math.max(0, used - rate(claim) * math.max(0, now - at))
    elseif claim.refill == 'fixed' and window(claim, now) > window(claim, at) then
        used = 0
    end
    return used, math.max(now, at)
end

-- A meter is forgotten some time after it must be empty.
local function set(claim, used, at)
    local key, raw = base .. 'm:' .. claim.meter, cmsgpack.pack(used, at)
    if claim.refill == 'never' then
        redis.call('SET', key, raw)
    else
        local empty_in = claim.refill == 'smooth' and used / rate(claim) or claim.period
        redis.call('SET', key, raw, 'EX', math.ceil(empty_in) + 60)
    end
end

local function add(claim, tokens)
    local used, at = level(claim)
    set(claim, used + tokens, at)
end

local function settle(held, tokens)
    local claims, reserved, since = named(held[1]), held[2], held[3]
    for _, claim in ipairs(claims) do
        if tokens >= reserved then
            add(claim, tokens - reserved)
        else
            local used, at = level(claim)
            local back = reserved - tokens
            if claim.refill == 'smooth' then
                back = back - rate(claim) * math.max(0, now - since)
            elseif claim.refill == 'fixed' and window(claim, now) > window(claim, since) then
                back = 0
            end
            set(claim, math.max(0, used - math.max(0, back)), at)
        end
    end
end

local function forget(id)
    redis.call('HDEL', OPEN, id)
    redis.call('ZREM', LEASES, id)
end

local function number(value) return string.format('%.17g', value) end

-- Reservations nobody renewed fall back to what was told of them. Who settles late is known for a day.
local function end_leases()
    local ended = redis.call('ZRANGEBYSCORE', LEASES, '-inf', number(now), 'LIMIT', 0, REAPED_AT_ONCE)
    for _, id in ipairs(ended) do
        -- A lease whose reservation is unknown is left where Redis has lost part of what it held.
        local raw = redis.call('HGET', OPEN, id)
        if raw then
            local held = cmsgpack.unpack(raw)
            settle(held, held[4])
            held[2] = held[4]
            redis.call('SET', base .. 'late:' .. id, cmsgpack.pack(held), 'EX', KEEP_S)
        end
        forget(id)
    end
end

local function all_used(claims)
    local used = {}
    for i, claim in ipairs(claims) do used[i] = level(claim) end
    return used
end

-- Seconds until the tokens fit: 0 now, NEVER never.
local function wait_for(claim, tokens)
    local excess = level(claim) + tokens - claim.limit
    if excess <= 0 then return 0 end
    if tokens > claim.limit or claim.refill == 'never' then return NEVER end
    if claim.refill == 'smooth' then return excess / rate(claim) end
    return (window(claim, now) + 1) * claim.period - now
end

local steps = {}

function steps.reserve(id, raw, tokens, lease)
    end_leases()
    local claims = named(raw)
    if redis.call('HEXISTS', OPEN, id) == 0 then
        local hindrance, longest = nil, 0
        for i, claim in ipairs(claims) do
            local wait = wait_for(claim, tokens)
            if wait ~= 0 and longest ~= NEVER and (wait == NEVER or wait > longest) then
                hindrance, longest = i, wait
            end
        end
        if hindrance then return {hindrance - 1, longest, all_used(claims)} end
        for _, claim in ipairs(claims) do add(claim, tokens) end
        redis.call('HSET', OPEN, id, cmsgpack.pack({raw, tokens, now, 0}))
        redis.call('ZADD', LEASES, number(now + lease), id)
        redis.call('DEL', base .. 'late:' .. id)
    end
    return {-1, 0, all_used(claims)}
end

function steps.settle(used)
    end_leases()
    for _, pair in ipairs(used) do
        local id, tokens = pair[1], pair[2]
        local held = redis.call('HGET', OPEN, id)
        if held then
            settle(cmsgpack.unpack(held), tokens)
            forget(id)
        else
            local late = redis.call('GET', base .. 'late:' .. id)
            if late then
                settle(cmsgpack.unpack(late), tokens)
                redis.call('DEL', base .. 'late:' .. id)
            end
        end
    end
    return {}
end

function steps.renew(used, lease)
    for _, pair in ipairs(used) do
        local id, tokens = pair[1], pair[2]
        local raw = redis.call('HGET', OPEN, id)
        if raw then
            local held = cmsgpack.unpack(raw)
            held[4] = tokens
            redis.call('HSET', OPEN, id, cmsgpack.pack(held))
            redis.call('ZADD', LEASES, number(now + lease), id)
        end
    end
    end_leases()
    return {}
end

function steps.charge(id, raw, tokens)
    if redis.call('SET', base .. 'charge:' .. id, 1, 'NX', 'EX', KEEP_S) then
        for _, claim in ipairs(named(raw)) do add(claim, tokens) end
    end
    return {}
end

function steps.used(raw)
    end_leases()
    return all_used(named(raw))
end

return cmsgpack.pack(steps[step](unpack(arg, 2)))
