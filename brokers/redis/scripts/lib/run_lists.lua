-- run_lists: runs of deployments are listed as long as their records live, `runs` and `runs:<deployment>`, by the moment at
-- which they are to begin. `listed` has the moment at which it is looked whether a record is still there.
local function list_run(id, deployment, expected, ttl)
  expected = math.min(math.max(0, expected), now * 2)
  put('runs', expected, id)
  put('runs:' .. deployment, expected, id)
  put('listed', math.max(now, expected) + ttl, id .. ' ' .. deployment)
end

local function unlist_run(id, deployment)
  drop('runs', id)
  if not deployment or deployment == '' then return end
  drop('runs:' .. deployment, id)
  drop('listed', id .. ' ' .. deployment)
end

local function look_after_listed(item)
  local id, deployment = string.match(item, '^(%S+) (%S+)$')
  local left = id and redis.pcall('PTTL', P .. 'f:' .. id)
  if type(left) == 'number' and left ~= -2 then return put('listed', now + (left > 0 and left or DAY), item) end
  drop('listed', item)
  if id then unlist_run(id, deployment) end
end
