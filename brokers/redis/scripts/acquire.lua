-- acquire: take places under named limits for a block of somebody's code, all of them or none; or stand in line.
-- args: { lease, {name, ...}, places of each, lease ms, inbox, { strict, may wait }, { run, ticket } around it or false }
-- returns: { how, ms, names }: 'held'; 'waits': the inbox is notified of its turn, ask again after ms at the latest; 'no': it
--   may not wait; 'never': these limits have fewer places; 'unknown': not declared (strict). Else names: not declared
-- A lease that is asked for again is the same lease. It is free after its time unless it is renewed (renew.lua).
-- needs: ends limit_watch
local id, names, weight, lease_ms, inbox, rules, around = unpack(args, 1, 7)
local strict, may_wait = unpack(rules)
local UNCLAIMED = 30000 -- ms after which nobody waits any more who has not asked again
local ASK_AGAIN = 10000
local lease, member = P .. 'lease:' .. id, '~' .. id
local unknown, too_small, lines = {}, {}, {}

for _, name in ipairs(names) do
  local size, active = unpack(look(P .. 'doc:limit:' .. name, 'limit', 'active'))
  size = number(size)
  if not size then
    unknown[#unknown + 1] = name
  else
    lines[#lines + 1] = name .. '|'
    if active ~= '0' and size > 0 and weight > size then too_small[#too_small + 1] = name end
  end
end
local text = table.concat(lines, '\n')
local limits = limits_of(text) or {}

local function answer(how, ms, some)
  close_script()
  return cmsgpack.pack({ how, math.ceil(ms), some or unknown })
end

local function bind()
  -- to the delivery around it: when that is over, its worker dead or not, so is the lease
  if not around then return end
  local run, ticket = unpack(around)
  local status, current = unpack(look(record(run), 's', 'e'))
  if current ~= ticket or SETTLED[status] then return end
  redis.call('HSET', record(run), 'H', '1')
  members('leases:' .. run)
  redis.call('SADD', P .. 'leases:' .. run, id)
  redis.call('PEXPIRE', P .. 'leases:' .. run, math.max(DAY, 2 * lease_ms))
  set_facts(lease, 'r', run)
end

local function hold()
  set_facts(lease, 's', 'H')
  redis.call('PEXPIRE', lease, lease_ms + 60000)
  for _, limit in ipairs(limits) do
    put('until:' .. limit.name, now + lease_ms, member)
    watch(limit.name, now + lease_ms)
  end
  return answer('held', 0)
end

local function ms_until_it_may_fit()
  if places('line:' .. class_of(text, weight), 0, 0)[1] ~= member then return ASK_AGAIN end
  local wait = ASK_AGAIN
  for _, limit in ipairs(limits) do
    local free, _, decay = free_in(limit)
    local _, earliest = unpack(places('until:' .. limit.name, 0, 0, 'WITHSCORES'))
    if free < weight and decay > 0 then wait = math.min(wait, (weight - free) * 1000 / decay) end
    if free < weight and earliest then wait = math.min(wait, number(earliest, now) - now) end
  end
  return math.max(wait, 100)
end

local function nobody_is_before()
  local others_wait = false
  for _, limit in ipairs(limits) do
    forget_overdue(limit.name)
    others_wait = call_next(limit.name) or others_wait
  end
  return not others_wait
end

local function stand()
  local arrival = next_arrival()
  set_facts(lease, 's', 'W', 'i', inbox, 'l', text, 'n', weight)
  bind()
  stand_in_line(limits, class_of(text, weight), member, arrival)
end

if strict and unknown[1] then return answer('unknown', 0) end
if too_small[1] then return answer('never', 0, too_small) end
if not limits[1] then return answer('held', 0) end
local state = look(lease, 's')[1]
if state == 'H' then return hold() end
local first = nobody_is_before()
if not state then
  if first and not short_of(limits, weight) then
    set_facts(lease, 'l', text, 'n', weight)
    bind()
    take_places(limits, member, weight, now + lease_ms)
    return hold()
  end
  if not may_wait then return answer('no', 0) end
  stand()
end
if look(lease, 's')[1] == 'H' then return hold() end
redis.call('PEXPIRE', lease, UNCLAIMED)
return answer('waits', ms_until_it_may_fit())
