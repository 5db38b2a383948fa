# Forecasts of a long CSV by forecast::stlm with ARIMA, or auto.arima where the
# history has no two seasons: peer.R TRAIN.csv.gz PERIOD HORIZON OUT.csv
library(forecast)
args <- commandArgs(TRUE)
period <- as.integer(args[2]); horizon <- as.integer(args[3])
all <- read.csv(gzfile(args[1]), colClasses = c("character", "character", "numeric"))
out <- file(args[4], "w")
writeLines("series,h,mean,lo80,hi80,lo95,hi95", out)
for (name in unique(all$series)) {
  y <- all$value[all$series == name]
  y <- ts(as.numeric(na.interp(ts(y, frequency = period))), frequency = period)
  f <- if (period > 1 && length(y) > 2 * period + 1) forecast(stlm(y, method = "arima"), h = horizon, level = c(80, 95))
       else forecast(auto.arima(y), h = horizon, level = c(80, 95))
  rows <- cbind(f$mean, f$lower[, 1], f$upper[, 1], f$lower[, 2], f$upper[, 2])
  writeLines(paste(name, seq_len(horizon), apply(format(rows, digits = 8, trim = TRUE), 1, paste, collapse = ","), sep = ","), out)
}
close(out)
