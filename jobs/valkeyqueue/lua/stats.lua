-- stats appends to a list: for each priority how many jobs are delayed, for how many milliseconds the first has been
-- ready or -1, how many are ready in each shard, and how many are leased. It returns how many of people's jobs are ready, and how many leased.
local function stats(list)
  local people, busy = 0, 0
  for p = 0, 1 do
    list[#list + 1] = call('ZCARD', B .. 'd' .. p)
    local oldest = #list + 1
    list[oldest] = -1
    local leased = {}
    for h = 0, SHARDS - 1 do
      local n, pending, last = ready(p, h)
      leased[h + 1] = pending
      local id = n > 0 and first(p, h, last)
      if id then list[oldest] = math.max(list[oldest], math.floor(now / 1000) - parse(id)) end
      list[#list + 1] = n
      if p == 0 then people, busy = people + n, busy + pending end
    end
    for _, n in ipairs(leased) do list[#list + 1] = n end
  end
  return people, busy
end
